// Identities, wire, probes, paid delivery: sections 1 to 4 of docs/protocol.md.
export default [
  {
    name: 'stream-taken-twice', rule: 'W3', breaks: 'a second request on a stream that is over is answered with what was signed for the first',
    test: 'cargo test -p decdn-engine --test node w3_a_stream_that_is_over_takes_no_second_request',
    edits: [{ file: 'engine/src/roles/node/mod.rs', from: 'self.inbound.give_up(id);', to: '' }],
  },
  {
    name: 'pays-for-unverified', rule: 'D4', breaks: 'a bad group is paid for',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/roles/client/stream.rs',
      from: 'out.breach(node, Rule::D4, Proof::Group { stream: id, offset });',
      to: 'self.wallet.channels[slot].paying.meter.add(GROUP); out.breach(node, Rule::D4, Proof::Group { stream: id, offset });',
    }],
  },
  {
    name: 'exposure-forgotten-at-end', rule: 'D8', breaks: 'what an ended stream left unpaid no longer counts',
    oracle: ['O3'],
    edits: [{
      file: 'engine/src/machine/earnings.rs',
      from: 'self.streams.retain(|other| *other != id);',
      to: 'self.streams.retain(|other| *other != id); self.durable = self.meter.owed();',
    }],
  },
  {
    name: 'quote-not-kept', rule: 'D1', breaks: 'a node is paid more than it quoted, up to what the order would pay',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/machine/fetcher.rs',
      from: 'self.quoted().map_or(most, |quote| quote.rate.min(most))',
      to: 'most',
    }],
  },
  {
    name: 'rounds-down', rule: 'D5', breaks: 'owed is rounded down',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/delivery/meter.rs',
      from: 'Amount(self.owed_raw().div_ceil(UNITS))',
      to: 'Amount(self.owed_raw() / UNITS)',
    }],
  },
  {
    name: 'share-is-the-window', rule: 'D8', breaks: 'a stream may take the whole window at once, however many wait for it',
    test: 'cargo test -p decdn-engine --test node d8_a_stream_alone_has_the_whole_window_and_streams_together_have_equal_shares_in_turn',
    edits: [{
      file: 'engine/src/machine/sending.rs',
      from: 'let share = whole_groups(offer / unsent.max(1), u64::MAX).max(SHARE_MIN);',
      to: 'let share = offer.max(whole_groups(offer / unsent.max(1), u64::MAX).max(SHARE_MIN));',
    }],
  },
  {
    name: 'silence-not-noticed', rule: 'D10', breaks: 'a silent node is waited for for ever',
    oracle: ['O10'],
    edits: [{
      file: 'engine/src/machine/fetcher.rs',
      from: 'Stage::Streaming(_) | Stage::Paying(_) => Some(self.timeouts.silence)',
      to: 'Stage::Streaming(_) => None, Stage::Paying(_) => Some(self.timeouts.silence)',
    }],
  },
  {
    name: 'stranger-served', rule: 'I3', breaks: 'whoever asks is served on any channel',
    oracle: ['O3'],
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: 'channel.client != request.requester || channel.token != request.token',
      to: 'channel.token != request.token',
    }],
  },
  {
    name: 'window-off-by-one-group', rule: 'D8', breaks: 'one more group goes out than the offer allows',
    oracle: ['O3'],
    edits: [{
      file: 'engine/src/roles/node/sell.rs',
      from: 'channel.meter.room(channel.durable, terms.offer)',
      to: 'channel.meter.room(channel.durable, terms.offer + GROUP)',
    }],
  },
  {
    name: 'message-uncapped', rule: 'W1', breaks: 'a frame that is no chunk may be as long as one, and is kept whole',
    test: 'cargo test -p decdn-engine --test wire w1_caps_are_checked_before_anything_is_kept',
    edits: [{
      file: 'engine/src/wire/frame.rs',
      from: 'if length as usize > self.protocol.message_bytes() { return Err(FrameFault::TooLarge); }',
      to: '',
    }],
  },
  {
    name: 'unknown-field-refused', rule: 'W2', breaks: 'a message with a field of a newer version is no message',
    test: 'cargo test -p decdn-engine --test wire w2_what_follows_known_fields_is_ignored',
    edits: [{
      file: 'engine/src/wire/frame.rs',
      from: 'get_first(bytes).map(|(value, _)| value)',
      to: 'get_first(bytes).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)',
    }],
  },
  {
    name: 'streams-uncapped', rule: 'W3', breaks: 'a connection may have as many streams as it likes',
    test: 'cargo test -p decdn-engine --test limits w3_streams_beyond_a_connections_share_are_refused',
    edits: [
      { file: 'engine/src/roles/node/request.rs', from: 'if conn.streams >= self.config.limits.streams_per_conn.min(conn.protocol.streams())', to: 'if false' },
      { file: 'engine/src/roles/node/request.rs', from: 'if channel.streams.len() >= self.config.limits.streams_per_conn as usize', to: 'if false' },
    ],
  },
  {
    name: 'promise-out-of-sight', rule: 'W4', breaks: 'a node that has lost sight of the chain signs what it could not keep',
    test: 'cargo test -p decdn-engine --test node w4_a_node_that_has_lost_sight_of_the_chain_promises_nothing',
    edits: [{
      file: 'engine/src/roles/node/probe.rs',
      from: 'if !self.may_extend_credit(now)',
      to: 'if false',
    }],
  },
  {
    name: 'another-domain', rule: 'W6', breaks: 'what is signed is signed for another version of the contracts',
    oracle: ['O8', 'O9', 'O10', 'O13'],
    edits: [{
      file: 'engine/src/crypto/eip712.rs',
      from: 'version: "1",',
      to: 'version: "2",',
    }],
  },
  {
    name: 'quote-for-nobody', rule: 'P1', breaks: 'a quote is signed for nobody instead of who asked',
    oracle: ['O10'],
    edits: [{
      file: 'engine/src/roles/node/probe.rs',
      from: 'requester: request.requester,',
      to: 'requester: Address::ZERO,',
    }],
  },
  {
    name: 'old-probe-signed', rule: 'P2', breaks: 'a probe is answered whatever its timestamp',
    test: 'cargo test -p decdn-engine --test node p2_a_wrong_clock_or_nobody_gets_no_signature',
    edits: [{
      file: 'engine/src/roles/node/probe.rs',
      from: 'if request.timestamp.distance(now.wall) > CLOCK_TOLERANCE',
      to: 'if false && request.timestamp.distance(now.wall) > CLOCK_TOLERANCE',
    }],
  },
  {
    name: 'own-quote-forgotten', rule: 'P3', breaks: 'a node charges what it asks now, whatever it quoted',
    test: 'cargo test -p decdn-engine --test node e5_a_quote_of_its_own_is_kept_and_named',
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: 'request.quote.map_or(rate, |quote| rate.min(quote.rate))',
      to: 'rate',
    }],
  },
  {
    name: 'too-large-quoted', rule: 'P4', breaks: 'a node quotes for a blob that is larger than it serves',
    test: 'cargo test -p decdn-engine --test node p4_what_is_not_there_or_has_no_rate_or_is_too_large_is_not_sold',
    edits: [{
      file: 'engine/src/roles/node/probe.rs',
      from: 'blob.filter(|bytes| *bytes <= self.config.max_blob_size)',
      to: 'blob',
    }],
  },
  {
    name: 'probes-unlimited', rule: 'P5', breaks: 'one NodeId may ask as often as all together',
    test: 'cargo test -p decdn-engine --test node p5_a_node_id_gets_five_answers_a_second',
    edits: [{
      file: 'engine/src/machine/quotes.rs',
      from: '.take(now.mono, PROBES_PER_NODE)',
      to: '.take(now.mono, PROBES)',
    }],
  },
  {
    name: 'anybody-quotes', rule: 'P6', breaks: 'a quote counts whoever signed it',
    test: 'cargo test -p decdn-engine --test client p6_an_answer_that_the_operator_did_not_sign_ends_the_candidate',
    edits: [{
      file: 'engine/src/machine/prober.rs',
      from: '!is_whole || !crypto.verify(deployment, &what, &signature, operator)',
      to: '!is_whole',
    }],
  },
  {
    name: 'refusal-with-a-rate', rule: 'D2', breaks: 'a refusal names a rate',
    oracle: ['O10'],
    edits: [{
      file: 'engine/src/roles/node/request.rs',
      from: 'answer.as_ref().map_or(Rate(0), |agreed| agreed.rate)',
      to: 'answer.as_ref().map_or(Rate(1), |agreed| agreed.rate)',
    }],
  },
  {
    name: 'signs-too-late', rule: 'D6', breaks: 'a client signs only once more than the offer is unpaid, when its node has long paused',
    oracle: ['O10', 'bound'],
    edits: [{
      file: 'engine/src/delivery/window.rs',
      from: 'let would_pause = unpaid + next_group > offer',
      to: 'let would_pause = unpaid > offer',
    }],
  },
  {
    name: 'stall-ignored', rule: 'D7', breaks: 'a stall does not make the client sign at half a window',
    test: 'cargo test -p decdn-engine --test window d7_a_stall_halves_the_interval_for_good_and_a_short_wait_does_not',
    edits: [{
      file: 'engine/src/delivery/window.rs',
      from: 'self.is_halved |= wait > Span(took.0 / 8);',
      to: '',
    }],
  },
  {
    name: 'pays-ahead', rule: 'D9', breaks: 'a client signs for one more group than it has verified',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/machine/wallet.rs',
      from: 'self.paying.meter.owed().min(self.paying.deposit)',
      to: 'self.paying.meter.owed_with(crate::limits::GROUP).min(self.paying.deposit)',
    }],
  },
  {
    name: 'moved-price-not-asked', rule: 'D11', breaks: 'a node whose price has moved is not asked again',
    test: 'cargo test -p decdn-engine --test client d11_an_old_quote_is_not_presented_and_a_price_that_moved_is_asked_for_again',
    edits: [{
      file: 'engine/src/roles/client/stream.rs',
      from: 'StreamError::RateExceeded if is_signed => self.price_moved(fetch)',
      to: 'StreamError::RateExceeded if is_signed => Failure::Ban',
    }],
  },
  {
    name: 'progress-not-stored', rule: 'D14', breaks: 'what a download has verified is not stored with the channel that owes for it',
    oracle: ['O4', 'O12', 'bound'],
    edits: [{
      file: 'engine/src/roles/client/pay.rs',
      from: 'writes.push(fetch.stored());',
      to: '',
    }],
  },
  {
    name: 'deposit-not-agreed', rule: 'D16', breaks: 'a yes to less than the deposit opens a channel with all of it',
    oracle: ['O17', 'check'],
    edits: [{
      file: 'engine/src/order.rs',
      from: 'rate <= self.rate && deposit <= self.deposit',
      to: 'rate <= self.rate',
    }],
  },
  {
    name: 'opened-without-asking', rule: 'D16', breaks: 'a client whose owner has to be asked opens its channels on the order alone',
    oracle: ['O17', 'check'],
    edits: [
      { file: 'engine/src/roles/client/open.rs', from: '(true, false) => return self.ask_owner(now, id, deposit, out)', to: '(true, false) => {}' },
      { file: 'engine/src/roles/client/open.rs', from: '&& (!asks || fetch.is_agreed(opening.deposit))', to: '' },
    ],
  },
  {
    name: 'agreement-used-twice', rule: 'D16', breaks: 'an opening leaves the yes that it was begun on to the next one',
    oracle: ['O17'],
    edits: [{
      file: 'engine/src/roles/client/open.rs',
      from: 'if asks { self.fetcher.take_agreement(id) } else { None }',
      to: 'self.fetcher.fetches.get(&id).and_then(|fetch| fetch.agreements().next().copied())',
    }],
  },
  {
    name: 'late-no-ignored', rule: 'D16', breaks: 'a no takes no yes back while another candidate is tried',
    test: 'cargo test -p decdn-engine --test client d16_a_no_takes_a_yes_back_while_another_candidate_is_tried',
    edits: [{
      file: 'engine/src/machine/fetcher/agreement.rs',
      from: 'place.filter(|place| self.agreed[*place].take().is_some())',
      to: 'place.filter(|place| *place == self.current && self.agreed[*place].take().is_some())',
    }],
  },
  {
    name: 'declined-opened', rule: 'D16', breaks: 'a no is taken for a yes to anything',
    oracle: ['O17'],
    edits: [{
      file: 'engine/src/roles/client/agree.rs',
      from: 'Stage::Asking if is_tried => self.on_not_agreed(now, id, out),',
      to: 'Stage::Asking if is_tried => { let all = Agreement { rate: crate::money::Rate(u64::MAX), deposit: Amount::MAX }; self.on_agreed(now, id, node, all, out); }',
    }],
  },
  {
    name: 'kept-starts-at-zero', rule: 'D17', breaks: 'a failed download that is ordered again begins at its first byte',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/machine/fetcher/again.rs',
      from: 'FetchRecord { order, ..fetch.record.clone() }',
      to: 'FetchRecord { order, verified_bytes: 0, ..fetch.record.clone() }',
    }],
  },
  {
    name: 'failed-is-erased', rule: 'D17', breaks: 'what a failed download has verified is erased',
    oracle: ['O4'],
    edits: [{
      file: 'engine/src/roles/client/fetch.rs',
      from: 'why != FetchFailure::Cancelled && fetch.record.verified_bytes > 0',
      to: 'why == FetchFailure::BadOrder && fetch.record.verified_bytes > 0',
    }],
  },
  {
    name: 'any-quote-kept', rule: 'E5', breaks: 'a node is held to quotes that somebody else made',
    test: 'cargo test -p decdn-engine --test node e5_a_quote_of_somebody_else_or_of_another_time_is_malformed',
    edits: [{
      file: 'engine/src/roles/node/probe.rs',
      from: 'is_in_time && crypto.verify(&self.deployment(), &what, &quote.signature, self.config.account)',
      to: 'is_in_time',
    }],
  },
  {
    name: 'high-s-taken', rule: 'I4', breaks: 'the engine takes a signature that the chain refuses',
    test: 'cargo test -p decdn-contracts --lib i4_high_s_and_foreign_v_are_nobodys',
    edits: [{
      file: 'contracts/rs/curves.rs',
      from: 'compact[32..] > HALF_ORDER[..]',
      to: 'false',
    }],
  },
  {
    name: 'another-account', rule: 'I1', breaks: 'an account is the wrong end of the hash of its key',
    test: 'cargo test -p decdn-contracts --lib i1_the_address_of_secret_1_is_the_known_one',
    edits: [{
      file: 'contracts/rs/curves.rs',
      from: 'Address::from_slice(&hash[12..])',
      to: 'Address::from_slice(&hash[..20])',
    }],
  },
  {
    name: 'purchases-share-places', rule: 'D12', breaks: 'what a node pays on and what it earns on have the same places: lanes and alarms meet',
    oracle: ['world', 'bound', 'O1', 'O3', 'O4', 'O5', 'O8', 'O10', 'O12'],
    edits: [{
      file: 'engine/src/roles/client/mod.rs',
      from: 'const BESIDE: u32 = 1 << 31;',
      to: 'const BESIDE: u32 = 0;',
    }],
  },
  {
    name: 'purchases-forgotten', rule: 'D12', breaks: 'a node that comes back knows what it earns, and not what it buys',
    oracle: ['bound', 'O4', 'O5', 'O10'],
    edits: [{
      file: 'engine/src/roles/node/mod.rs',
      from: 'other => node.buyer.adopt(other)',
      to: 'Record::Cursor(block) => node.buyer.adopt(Record::Cursor(block)), _ => {}',
    }],
  },
  {
    name: 'probe-outlives-its-download', rule: 'D1', breaks: 'a download that ends while it asks for a price leaves the question open',
    test: 'cargo test -p decdn-engine --test client w3_a_download_that_is_given_up_while_it_asks_leaves_its_place_to_the_next',
    edits: [{
      file: 'engine/src/roles/client/fetch.rs',
      from: 'self.drop_probe(now, conn, out);',
      to: 'let _ = (conn, Self::drop_probe);',
    }],
  },
];
