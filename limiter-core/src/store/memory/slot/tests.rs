use super::*;

#[test]
fn a_duration_in_a_tag_is_rounded_down_by_a_thousandth_at_most() {
    for micros in (0..63).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit, 3 << bit >> 1]) {
        let kept = Tag::ban(7, 9).with_micros(micros).micros();
        assert!(kept <= micros && micros - kept <= micros >> FLOAT_BITS, "{micros}: {kept}");
    }
}
