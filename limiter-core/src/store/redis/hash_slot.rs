//! Hash slots of a Redis Cluster: the one of 16,384 that a client's state is in.

/// The number of slots of a cluster.
pub(super) const SLOTS: u16 = 16_384;

/// Returns the slot of a hash tag: CRC16 (XMODEM), as the specification of Redis
/// Cluster says.
pub(super) fn slot_of(client: &str) -> u16 {
    let crc = client.bytes().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

#[cfg(test)]
mod tests {
    use super::slot_of;

    /// The slots that `CLUSTER KEYSLOT` answers.
    #[test]
    fn slots_are_those_of_the_server() {
        for (client, slot) in [("123456789", 0x31C3), ("foo", 12_182), ("user1000", 3_443)] {
            assert_eq!(slot_of(client), slot);
        }
    }
}
