//! EIP-712 digests are those of `cast`, which we did not write (W6, I4).
//!
//! `cast` signs typed data, never shows its digest; so the digests are compared through signatures. The pinned ones in
//! `fixtures/eip712.txt` were made by `cast wallet sign --data`, and recover over our digests to the key that
//! made them. Where `cast` is installed it is asked again; with `DECDN_REQUIRE_CAST` set it has to be.

use std::{collections::BTreeMap, path::PathBuf, process::Command};

use alloy_primitives::{Address, hex, keccak256};
use decdn_engine::{
    crypto::{Deployment, ProbeResponseTerms, StreamError, StreamResponseTerms, Typed, VoucherTerms},
    ids::{BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
};
use k256::ecdsa::{RecoveryId, Signature, VerifyingKey};
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use serde_json::{Value, json};

/// The key of the fixtures: 32 bytes of 01.
const KEY: [u8; 32] = [1; 32];
/// Its account, as `cast wallet address` says.
const ACCOUNT: &str = "0x1a642f0e3c3af545e7acbd38b07251b3990914f1";

fn deployment() -> Deployment {
    let [channel, registry, judge] = [0xa1, 0xa2, 0xa3].map(Address::repeat_byte);
    Deployment { judge, ..deployed(42_161, channel, registry) }
}

fn deployed(chain_id: u64, payment_channel: Address, registry: Address) -> Deployment {
    Deployment { chain_id, payment_channel, registry, ..Deployment::default() }
}

fn cases() -> Vec<(&'static str, Typed)> {
    let voucher = VoucherTerms {
        channel: ChannelId(std::array::from_fn(|i| i as u8)),
        amount: Amount(123_456_789_012_345_678_901_234),
        nonce: Nonce(1_024),
        token: Address::repeat_byte(0x33),
    };
    let largest = VoucherTerms { amount: Amount::MAX, nonce: Nonce(u64::MAX), ..voucher };
    let response = StreamResponseTerms {
        node: NodeId([0x10; 32]),
        hash: BlobHash([0x11; 32]),
        ok: true,
        token: Address::repeat_byte(0x33),
        rate: Rate(7_000),
        max_rate: Rate(1_000_000_000_000),
        total_bytes: 1 << 60,
        channel: ChannelId([0x22; 32]),
        redirect: NodeId([0; 32]),
        error: None,
        requester: Address::repeat_byte(0x44),
        timestamp: WallTime(1_700_000_000_000_000),
        quote: [0; 32],
    };
    let refusal = StreamResponseTerms { ok: false, rate: Rate(0), total_bytes: 0, ..response };
    let refused = |error| Typed::StreamResponse(StreamResponseTerms { error: Some(error), ..refusal });
    let probe = ProbeResponseTerms {
        node: NodeId([0x10; 32]),
        hash: BlobHash([0x11; 32]),
        has_blob: true,
        token: Address::repeat_byte(0x33),
        rate: Rate(7_000),
        requester: Address::repeat_byte(0x44),
        timestamp: WallTime(1_700_000_000_000_000),
    };
    vec![
        ("voucher", Typed::Voucher(voucher)),
        ("voucher_largest", Typed::Voucher(largest)),
        ("cooperative_close", Typed::CooperativeClose(voucher)),
        (
            "cooperative_close_empty",
            Typed::CooperativeClose(VoucherTerms { amount: Amount::ZERO, nonce: Nonce::NONE, ..voucher }),
        ),
        ("stream_response", Typed::StreamResponse(response)),
        (
            "stream_response_quoted",
            Typed::StreamResponse(StreamResponseTerms { quote: [0x55; 32], ..response }),
        ),
        (
            "stream_response_redirect",
            Typed::StreamResponse(StreamResponseTerms { redirect: NodeId([0x99; 32]), ..refusal }),
        ),
        ("stream_response_blob_too_large", refused(StreamError::BlobTooLarge)),
        ("stream_response_rate_exceeded", refused(StreamError::RateExceeded)),
        ("stream_response_channel_insufficient", refused(StreamError::ChannelInsufficient)),
        ("stream_response_blacklisted", refused(StreamError::Blacklisted)),
        ("stream_response_unavailable", refused(StreamError::Unavailable)),
        ("probe_response", Typed::ProbeResponse(probe)),
        (
            "probe_response_without",
            Typed::ProbeResponse(ProbeResponseTerms { has_blob: false, rate: Rate(0), ..probe }),
        ),
        ("bind_node_id_connection", Typed::BindNodeId { node: NodeId([0x10; 32]), nonce: 0 }),
        ("bind_node_id_registry", Typed::BindNodeId { node: NodeId([0x10; 32]), nonce: u64::MAX }),
    ]
}

/// What to sign as the JSON of `eth_signTypedData_v4`: the types as docs/protocol.md spells them.
fn typed_data(what: &Typed, at: &Deployment) -> Value {
    let terms = |v: &VoucherTerms| {
        json!({
            "channelId": hex32(&v.channel.0),
            "amount": v.amount.0.to_string(),
            "nonce": v.nonce.0.to_string(),
            "token": v.token,
        })
    };
    let terms_type = "bytes32 channelId,uint256 amount,uint64 nonce,address token";
    let (domain, contract, name, fields, message) = match what {
        Typed::Voucher(v) => ("PaymentChannel", at.payment_channel, "Voucher", terms_type, terms(v)),
        Typed::CooperativeClose(v) => {
            ("PaymentChannel", at.payment_channel, "CooperativeClose", terms_type, terms(v))
        }
        Typed::StreamResponse(r) => (
            "SlashingJudge",
            at.judge,
            "StreamResponse",
            "bytes32 nodeId,bytes32 hash,bool ok,address token,uint64 ratePerMb,uint64 maxRatePerMb,\
             uint64 totalBytes,bytes32 channelId,bytes32 redirect,uint8 error,address requester,\
             uint64 timestampUs,bytes32 quote",
            json!({
                "nodeId": hex32(&r.node.0),
                "hash": hex32(&r.hash.0),
                "ok": r.ok,
                "token": r.token,
                "ratePerMb": r.rate.0.to_string(),
                "maxRatePerMb": r.max_rate.0.to_string(),
                "totalBytes": r.total_bytes.to_string(),
                "channelId": hex32(&r.channel.0),
                "redirect": hex32(&r.redirect.0),
                "error": match r.error {
                    None => 0,
                    Some(StreamError::BlobTooLarge) => 1,
                    Some(StreamError::RateExceeded) => 2,
                    Some(StreamError::ChannelInsufficient) => 3,
                    Some(StreamError::Blacklisted) => 4,
                    Some(StreamError::Unavailable) => 5,
                },
                "requester": r.requester,
                "timestampUs": r.timestamp.0.to_string(),
                "quote": hex32(&r.quote),
            }),
        ),
        Typed::ProbeResponse(p) => (
            "SlashingJudge",
            at.judge,
            "ProbeResponse",
            "bytes32 nodeId,bytes32 hash,bool hasBlob,address token,uint64 ratePerMb,address requester,uint64 timestampUs",
            json!({
                "nodeId": hex32(&p.node.0),
                "hash": hex32(&p.hash.0),
                "hasBlob": p.has_blob,
                "token": p.token,
                "ratePerMb": p.rate.0.to_string(),
                "requester": p.requester,
                "timestampUs": p.timestamp.0.to_string(),
            }),
        ),
        Typed::BindNodeId { node, nonce } => (
            "NodeRegistry",
            at.registry,
            "BindNodeId",
            "bytes32 nodeId,uint64 nonce",
            json!({ "nodeId": hex32(&node.0), "nonce": nonce.to_string() }),
        ),
    };
    json!({
        "types": {
            "EIP712Domain": fields_of("string name,string version,uint256 chainId,address verifyingContract"),
            name: fields_of(fields),
        },
        "primaryType": name,
        "domain": {
            "name": domain,
            "version": "1",
            "chainId": at.chain_id.to_string(),
            "verifyingContract": contract,
        },
        "message": message,
    })
}

fn fields_of(list: &str) -> Value {
    list.split(',')
        .map(|field| {
            let (kind, name) = field.split_once(' ').expect("a type and a name");
            json!({ "name": name, "type": kind })
        })
        .collect()
}

fn hex32(bytes: &[u8; 32]) -> String {
    hex::encode_prefixed(bytes)
}

/// Who signed a digest, with I4's rules: 65 bytes, low s, v 27 or 28.
fn recover(digest: &[u8; 32], signature: &[u8]) -> Option<Address> {
    let (v, rs) = signature.split_last()?;
    let id = RecoveryId::from_byte(v.checked_sub(27)?)?;
    let signature = Signature::from_slice(rs).ok()?;
    if signature.normalize_s() != signature {
        return None;
    }
    let key = VerifyingKey::recover_from_prehash(digest, &signature, id).ok()?;
    let point = key.to_sec1_point(false);
    Some(Address::from_slice(&keccak256(&point.as_bytes()[1..])[12..]))
}

/// Digest and signature of each case.
fn pinned() -> BTreeMap<&'static str, (Vec<u8>, Vec<u8>)> {
    include_str!("fixtures/eip712.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [name, digest, signature] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                panic!("a line holds a name, a digest and a signature: {line}");
            };
            (name, (hex::decode(digest).expect("hex"), hex::decode(signature).expect("hex")))
        })
        .collect()
}

#[test]
fn w6_every_digest_is_pinned_and_recovers_casts_signature() {
    let mut pinned = pinned();
    let account: Address = ACCOUNT.parse().expect("an account");
    for (name, what) in cases() {
        let (digest, signature) = pinned.remove(name).unwrap_or_else(|| panic!("{name} is not pinned"));
        let ours = what.digest(&deployment());
        assert_eq!(hex::encode(ours), hex::encode(digest), "{name}");
        assert_eq!(recover(&ours, &signature), Some(account), "{name}");
    }
    assert!(pinned.is_empty(), "a fixture that nothing looks at: {:?}", pinned.keys());
}

/// The `cast` of contracts/package.json, if it is installed.
fn cast() -> Option<PathBuf> {
    let cast = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/.bin/cast");
    let required = std::env::var_os("DECDN_REQUIRE_CAST").is_some();
    assert!(cast.exists() || !required, "{} is missing: run `npm ci` in contracts/", cast.display());
    cast.exists().then_some(cast)
}

/// Signs through `cast wallet sign`. Its signatures are deterministic (RFC 6979), so equal signatures mean equal
/// digests.
fn sign(cast: &PathBuf, how: &str, what: &str) -> String {
    let output = Command::new(cast)
        .args(["wallet", "sign", how, "--private-key", &hex::encode_prefixed(KEY), what])
        .output()
        .expect("cast runs");
    assert!(output.status.success(), "cast refused {what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cast prints hex").trim().to_owned()
}

#[test]
fn w6_cast_computes_the_same_digests() {
    let Some(cast) = cast() else { return };
    let pinned = pinned();
    for (name, what) in cases() {
        let theirs = sign(&cast, "--data", &typed_data(&what, &deployment()).to_string());
        assert_eq!(theirs, hex::encode_prefixed(&pinned[name].1), "{name}");
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..8 {
        let (what, at) = anything().new_tree(&mut runner).expect("a case").current();
        let theirs = sign(&cast, "--data", &typed_data(&what, &at).to_string());
        let ours = sign(&cast, "--no-hash", &hex::encode_prefixed(what.digest(&at)));
        assert_eq!(ours, theirs, "{what:?} {at:?}");
    }
}

proptest! {
    #[test]
    fn w6_no_two_messages_share_a_digest((what, at) in anything(), (other, there) in anything()) {
        prop_assert_eq!(what.digest(&at) == other.digest(&there), (what, at) == (other, there));
        // What differs in the kind alone, too: a voucher is no consent.
        if let Typed::Voucher(terms) = what {
            prop_assert_ne!(Typed::CooperativeClose(terms).digest(&at), what.digest(&at));
        }
    }

    #[test]
    fn w6_the_domain_is_part_of_every_digest((what, at) in anything(), chain_id in any::<u64>()) {
        prop_assume!(chain_id != at.chain_id);
        prop_assert_ne!(what.digest(&Deployment { chain_id, ..at }), what.digest(&at));
        let elsewhere = Address::repeat_byte(0xee);
        let moved = match what {
            Typed::Voucher(_) | Typed::CooperativeClose(_) => Deployment { payment_channel: elsewhere, ..at },
            Typed::StreamResponse(_) | Typed::ProbeResponse(_) => Deployment { judge: elsewhere, ..at },
            Typed::BindNodeId { .. } => Deployment { registry: elsewhere, ..at },
        };
        prop_assert_ne!(what.digest(&moved), what.digest(&at));
    }
}

fn anything() -> impl Strategy<Value = (Typed, Deployment)> {
    let id = || prop::array::uniform32(any::<u8>());
    let address = || any::<[u8; 20]>().prop_map(Address::new);
    let error = prop::option::of(prop::sample::select(vec![
        StreamError::BlobTooLarge,
        StreamError::RateExceeded,
        StreamError::ChannelInsufficient,
        StreamError::Blacklisted,
        StreamError::Unavailable,
    ]));
    let terms = (id(), any::<u128>(), any::<u64>(), address()).prop_map(|(channel, amount, nonce, token)| {
        VoucherTerms { channel: ChannelId(channel), amount: Amount(amount), nonce: Nonce(nonce), token }
    });
    let response =
        ((id(), id(), id(), id(), id()), any::<[u64; 4]>(), (address(), address()), any::<bool>(), error)
            .prop_map(|((node, hash, channel, redirect, quote), numbers, (token, requester), ok, error)| {
                let [rate, max_rate, total_bytes, timestamp] = numbers;
                StreamResponseTerms {
                    node: NodeId(node),
                    hash: BlobHash(hash),
                    ok,
                    token,
                    rate: Rate(rate),
                    max_rate: Rate(max_rate),
                    total_bytes,
                    channel: ChannelId(channel),
                    redirect: NodeId(redirect),
                    error,
                    requester,
                    timestamp: WallTime(timestamp),
                    quote,
                }
            });
    let probe = ((id(), id()), (address(), address()), any::<[u64; 2]>(), any::<bool>()).prop_map(
        |((node, hash), (token, requester), [rate, timestamp], has_blob)| ProbeResponseTerms {
            node: NodeId(node),
            hash: BlobHash(hash),
            has_blob,
            token,
            rate: Rate(rate),
            requester,
            timestamp: WallTime(timestamp),
        },
    );
    let what = prop_oneof![
        probe.prop_map(Typed::ProbeResponse),
        terms.clone().prop_map(Typed::Voucher),
        terms.prop_map(Typed::CooperativeClose),
        response.prop_map(Typed::StreamResponse),
        (id(), any::<u64>()).prop_map(|(node, nonce)| Typed::BindNodeId { node: NodeId(node), nonce }),
    ];
    let deployment = (any::<u64>(), address(), address(), address())
        .prop_map(|(id, channel, registry, judge)| Deployment { judge, ..deployed(id, channel, registry) });
    (what, deployment)
}

#[test]
fn d1_a_stream_response_names_its_quote_by_the_struct_hash_of_eip712() {
    let Some((_, Typed::ProbeResponse(probe))) =
        cases().into_iter().find(|(name, _)| *name == "probe_response")
    else {
        panic!("there is a probe");
    };
    let kind = "ProbeResponse(bytes32 nodeId,bytes32 hash,bool hasBlob,address token,uint64 ratePerMb,address \
                requester,uint64 timestampUs)";
    let word = |bytes: &[u8]| [vec![0; 32 - bytes.len()], bytes.to_vec()].concat();
    let fields = [
        keccak256(kind).to_vec(),
        probe.node.0.to_vec(),
        probe.hash.0.to_vec(),
        word(&[1]),
        word(probe.token.as_slice()),
        word(&probe.rate.0.to_be_bytes()),
        word(probe.requester.as_slice()),
        word(&probe.timestamp.0.to_be_bytes()),
    ];
    assert_eq!(probe.struct_hash(), keccak256(fields.concat()).0);
}
