//! Records that an earlier program wrote are read as it meant them: their form has no names, so that places are all that tells
//! variants and fields apart.

use decdn_engine::{
    ids::{Address, BlobHash, FetchId},
    money::{Amount, Rate},
    order::FetchOrder,
    record::{FetchRecord, Key, Record},
};

#[test]
fn o12_records_have_the_form_that_they_always_had() {
    let order = FetchOrder {
        id: FetchId(3),
        hash: BlobHash([1; 32]),
        offset_bytes: 0,
        len_bytes: 0,
        candidates: Vec::new(),
        token: Address::ZERO,
        deposit: Amount(0),
        cadence_bytes: 0,
        max_rate: Rate(1),
        keep_channel: false,
    };
    let fetch = FetchRecord { order: order.clone(), verified_bytes: 77, total_bytes: Some(99) };
    let form = |record: &Record| postcard::to_allocvec(record).expect("plain data");
    let body = postcard::to_allocvec(&(order, 77_u64, Some(99_u64))).expect("plain data");
    for (place, record) in [(2, Record::Fetch(fetch.clone())), (5, Record::Kept(fetch))] {
        assert_eq!(form(&record), [&[place][..], &body].concat());
        assert_eq!(postcard::from_bytes::<Record>(&form(&record)).expect("what was written"), record);
    }
    assert_eq!(form(&Record::Cursor(7)), [3, 7]);
    assert_eq!(form(&Record::Gone(Key::Cursor)), [4, 3]);
}
