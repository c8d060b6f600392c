//! Requests of one client that wait for one server: groups of equal ones, in order.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use super::{
    BatchLimits,
    batch::Batch,
    request_group::{ClientId, Group, Responder, SentMark, Waiter},
};
use crate::store::remote::backend::StoreRequest;

/// A request finds equal ones among that many of its client's last groups. More are
/// not searched, since a client can make any number of them.
const SEARCHED_GROUPS: usize = 4;

#[derive(Debug, Default)]
pub(super) struct ClientQueue {
    groups: VecDeque<Group>,
    /// Requests that wait in all groups.
    pub(super) waiting: usize,
    /// True while an entry of the client is in a batch that was sent.
    pub(super) is_in_flight: bool,
}

/// The outcome of taking an entry of one client for a batch.
pub(super) enum Taken {
    Entry,
    /// It did not fit.
    NoRoom,
    Nothing,
}

impl ClientQueue {
    pub(super) fn is_idle(&self) -> bool {
        self.waiting == 0 && !self.is_in_flight
    }

    pub(super) fn push(
        &mut self,
        request: &Arc<StoreRequest>,
        is_batchable: bool,
        reply: Responder,
        since: Instant,
    ) -> SentMark {
        self.waiting += 1;
        let at = self.find_equal(request).unwrap_or_else(|| {
            self.groups.push_back(Group::new(Arc::clone(request), is_batchable));
            self.groups.len() - 1
        });
        self.groups[at].push(request, reply, since)
    }

    /// The position of a group of equal requests.
    fn find_equal(&self, request: &StoreRequest) -> Option<usize> {
        let first = self.groups.len().saturating_sub(SEARCHED_GROUPS);
        (first..self.groups.len()).rev().find(|at| self.groups[*at].request.folds_with(request))
    }

    pub(super) fn has_equal(&self, request: &StoreRequest) -> bool {
        self.find_equal(request).is_some()
    }

    /// Removes a group of equal requests, and returns those who wait for it.
    pub(super) fn take_equal(&mut self, request: &StoreRequest) -> Option<VecDeque<Waiter>> {
        let group = self.groups.remove(self.find_equal(request)?)?;
        self.waiting -= group.waiters.len();
        Some(group.waiters)
    }

    /// Removes all groups, and returns those who wait for them.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiter> {
        self.waiting = 0;
        self.groups.drain(..).flat_map(|group| group.waiters)
    }

    pub(super) fn pop_newest(&mut self) -> Option<Waiter> {
        let group = self.groups.back_mut()?;
        let waiter = group.waiters.pop_back();
        if group.waiters.is_empty() {
            self.groups.pop_back();
        }
        self.waiting -= usize::from(waiter.is_some());
        waiter
    }

    /// Moves the requests of the first group to the batch, if they fit.
    pub(super) fn take_entry(
        &mut self,
        id: ClientId,
        limits: &BatchLimits,
        batch: &mut Batch,
    ) -> Taken {
        while let Some(group) = self.groups.front_mut() {
            if !batch.fits(group, limits) {
                return Taken::NoRoom;
            }
            let before = group.waiters.len();
            let live = group.take(limits.times);
            self.waiting -= before - group.waiters.len();
            let has_entry = !live.is_empty();
            if has_entry {
                batch.add(id, group, live, !self.is_in_flight);
                self.is_in_flight = true;
            }
            if group.waiters.is_empty() {
                self.groups.pop_front();
            }
            if has_entry {
                return Taken::Entry;
            }
        }
        Taken::Nothing
    }
}
