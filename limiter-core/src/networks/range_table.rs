//! Longest-prefix match by binary search: networks as a sorted table of ranges
//! that do not overlap.

use ipnet::IpNet;

/// Ranges of addresses, each with the prefix of the smallest network that holds
/// it. A range ends where the next one starts.
///
/// Chosen over a radix tree because it is two flat arrays: a lookup touches one
/// of them but for its last step, and 100,000 IPv4 networks take 1 MB.
#[derive(Clone, Debug, Default)]
pub(super) struct RangeTable<A> {
    starts: Vec<A>,
    /// One a range; `None` where no network holds it.
    prefixes: Vec<Option<u8>>,
}

/// A network as its first and last address.
#[derive(Clone, Copy)]
struct Range {
    first: u128,
    last: u128,
    prefix: u8,
}

impl<A: Copy + Ord + TryFrom<u128>> RangeTable<A> {
    /// The table of networks of one family. They are sorted by their first
    /// address, larger ones first.
    pub(super) fn new<'a>(networks: impl Iterator<Item = &'a IpNet>) -> Self {
        let mut table = Self { starts: Vec::new(), prefixes: Vec::new() };
        // The networks that hold the current address, the smallest last.
        let mut open: Vec<Range> = Vec::new();
        for range in networks.map(range) {
            table.close(&mut open, Some(range.first));
            table.push(range.first, Some(range.prefix));
            open.push(range);
        }
        table.close(&mut open, None);
        table
    }

    /// Ends the networks that end before `next`: the one around goes on.
    fn close(&mut self, open: &mut Vec<Range>, next: Option<u128>) {
        while let Some(ended) = open.pop_if(|range| next.is_none_or(|next| range.last < next)) {
            if let Some(after) = ended.last.checked_add(1) {
                self.push(after, open.last().map(|around| around.prefix));
            }
        }
    }

    fn push(&mut self, start: u128, prefix: Option<u8>) {
        // Behind the last address of the family there is nothing.
        let Ok(start) = A::try_from(start) else { return };
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.prefixes.pop();
        }
        self.starts.push(start);
        self.prefixes.push(prefix);
    }

    /// The prefix of the smallest network that holds that address.
    pub(super) fn longest_prefix(&self, address: A) -> Option<u8> {
        let next = self.starts.partition_point(|start| *start <= address);
        self.prefixes[next.checked_sub(1)?]
    }

    /// Returns true if a network holds an address from `first` to `last`.
    pub(super) fn overlap(&self, first: A, last: A) -> bool {
        let next = self.starts.partition_point(|start| *start <= first);
        let mut later = self.starts[next..].iter().zip(&self.prefixes[next..]);
        self.longest_prefix(first).is_some()
            || later.by_ref().take_while(|(start, _)| **start <= last).any(|(_, p)| p.is_some())
    }
}

fn range(network: &IpNet) -> Range {
    let (first, last) = match network {
        IpNet::V4(v4) => (u32::from(v4.network()).into(), u32::from(v4.broadcast()).into()),
        IpNet::V6(v6) => (v6.network().into(), v6.broadcast().into()),
    };
    Range { first, last, prefix: network.prefix_len() }
}
