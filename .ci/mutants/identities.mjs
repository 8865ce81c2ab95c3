// Keys and accounts: section 1 of docs/protocol.md.
export default [
  {
    name: 'another-address', rule: 'I1', breaks: "an account is the first 20 bytes of its key's hash, not the last",
    test: 'cargo test -p decdn-contracts --lib i1_the_address_of_secret_1_is_the_known_one',
    edits: [{ file: 'contracts/rs/curves.rs', from: 'Address::from_slice(&hash[12..])', to: 'Address::from_slice(&hash[..20])' }],
  },
];
