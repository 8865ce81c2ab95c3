// The chain under the contracts, and what its endpoints say: section 17 of docs/protocol.md.
export default [
  {
    name: 'time-runs-back', rule: 'L1', breaks: 'a clock that is set back takes block.timestamp along',
    test: 'cargo test -p decdn-contracts --test l2 l1_timestamps_never_fall_and_keep_to_the_profile',
    edits: [{ file: 'contracts/rs/l2/clock.rs', from: '.saturating_add_signed(skew.secs)).max(skew.floor)', to: '.saturating_add_signed(skew.secs))' }],
  },
  {
    name: 'forced-too-early', rule: 'L2', breaks: 'the inbox can be forced a second before its delay is over',
    test: 'cargo test -p decdn-contracts --test l2 l2_a_censored_account_gets_in_by_force_and_no_earlier',
    edits: [{ file: 'contracts/rs/l2/inbox.rs', from: 'if l1 < forcible', to: 'if l1.0 + 1 < forcible.0' }],
  },
  {
    name: 'large-amount-wraps', rule: 'L4', breaks: 'of an amount above 128 bits an endpoint is believed the lower ones',
    test: 'cargo test -p decdn-contracts --lib l4_an_amount_above_128_bits_is_malformed',
    edits: [{
      file: 'contracts/rs/bindings.rs',
      from: 'u128::try_from(value).map(Amount).map_err(|_| Malformed::Amount)',
      to: 'Ok(Amount(value.wrapping_to::<u128>()))',
    }],
  },
];
