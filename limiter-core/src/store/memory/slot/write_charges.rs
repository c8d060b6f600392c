//! Charges of one check to several slots, all or nothing: [`write_charges`].

use std::sync::atomic::Ordering::Release;

use super::{HELD, Slot, Word};

/// A slot that a check has read, and what it writes if it is charged.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::memory) struct SlotCharge<'a> {
    pub(in crate::store::memory) slot: &'a Slot,
    pub(in crate::store::memory) read: Word,
    pub(in crate::store::memory) payload: u64,
}

/// Writes what one check charges several slots: all of it, or nothing where a slot has
/// changed since it was read, which it returns false for.
///
/// All but the last are held, the swap of the last decides, and those that are held get
/// their charges, or what they had. So nobody meets a charge whose check may still fail:
/// whoever looks at a slot that is held waits, or declines. This waits for nobody, not even
/// for another check that holds one of the slots, and so is part of no deadlock.
#[inline]
pub(in crate::store::memory) fn write_charges<'a>(
    mut charges: impl DoubleEndedIterator<Item = SlotCharge<'a>> + ExactSizeIterator + Clone,
) -> bool {
    let Some(last) = charges.next_back() else { return true };
    let hold = |charge: &SlotCharge<'_>| charge.slot.swap(charge.read, HELD);
    let held = charges.clone().take_while(hold).count();
    let is_written = held == charges.len() && last.slot.swap(last.read, last.payload);
    for SlotCharge { slot, read, payload } in charges.take(held) {
        let word = if is_written { Word::new(payload, read.0) } else { read };
        slot.word.store(word.0, Release);
    }
    is_written
}
