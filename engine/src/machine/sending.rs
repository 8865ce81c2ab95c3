//! Streams that a role answers and sends content on, and the blobs that it has to send (D6, D8).

use super::Cx;
use crate::{
    crypto::StreamResponseTerms,
    delivery::Tail,
    fault::{LimitHit, Rule},
    ids::{BlobHash, ConnId, StreamId},
    limits::{GROUP, OFFER_GROUPS_MIN, SEND_RANGES},
    state::{Broken, Canon, Canonical, Checked, Invariant, Slot, TrackedMap, holds},
};

/// The least that a stream is sent at once, where there is so much: less would be more headers than content.
const SHARE_MIN: u64 = OFFER_GROUPS_MIN * GROUP;

/// Where a stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StreamState {
    /// The response is being signed.
    Answering,
    /// Content goes out.
    Sending,
    /// Nothing more goes out; vouchers for what went are still taken.
    Ended,
}

/// One request and what follows on it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The channel that pays.
    pub channel: Slot,
    /// See [`StreamState`].
    pub state: StreamState,
    /// What was answered, or is being signed.
    pub terms: StreamResponseTerms,
    /// How far its channel's exposure may go.
    pub offer: u64,
    /// Next byte to send.
    pub next: u64,
    /// The end of the range.
    pub end: u64,
    /// Ranges that the transport has not answered.
    pub unanswered: u8,
    /// What it sent last (D8).
    pub tail: Tail,
}

impl Stream {
    /// Whether something of it could go out now.
    pub fn is_ready(&self) -> bool {
        self.state == StreamState::Sending && self.next < self.end && self.unanswered < SEND_RANGES
    }
}

/// What the streams of a channel are held to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WindowTerms {
    /// The smallest offer among those that still send: exposure stays within it (D8).
    pub offer: u64,
    /// How much of it one of them may take at once, so that none of many has to wait for whole windows of others.
    pub share: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// Streams that were agreed to, or are being answered.
    pub streams: TrackedMap<StreamId, Stream>,
    /// Blobs that are there whole, with their sizes.
    pub blobs: TrackedMap<BlobHash, u64>,
}

impl Sending {
    /// A blob is complete and verified.
    pub fn on_blob_ready(&mut self, hash: BlobHash, bytes: u64, most: usize, cx: &mut Cx<'_>) {
        if self.blobs.len() >= most && !self.blobs.contains_key(&hash) {
            return cx.out.limit(Rule::O11, LimitHit::Blobs);
        }
        self.blobs.insert(hash, bytes);
        assert!(self.blobs.len() <= most, "blobs beyond the table are not listed (O11)");
    }

    /// The streams of a connection.
    pub fn on_conn(&self, conn: ConnId) -> impl Iterator<Item = StreamId> {
        let (first, last) = (StreamId { conn, index: 0 }, StreamId { conn, index: u32::MAX });
        self.streams.range(first..=last).map(|(id, _)| *id)
    }

    /// Whether something goes out on a stream, or will.
    pub fn is_live(&self, id: &StreamId) -> bool {
        self.streams.get(id).is_some_and(|stream| stream.state != StreamState::Ended)
    }

    /// What holds of streams.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[Invariant::of(
        "a stream sends its own blob within its range, and no more at once than allowed",
        Self::are_ranges_kept,
    )];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.streams.check()?;
        self.blobs.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }

    /// What is not answered yet goes nowhere.
    fn are_ranges_kept(&self) -> Checked {
        for (id, stream) in self.streams.iter() {
            let is_within = stream.next <= stream.end && stream.unanswered <= SEND_RANGES;
            let is_answered = stream.state != StreamState::Answering || stream.unanswered == 0;
            let is_its_blob = stream.tail.hash == stream.terms.hash;
            holds!(is_within && is_answered && is_its_blob, "{id:?}: {} of {}", stream.next, stream.end);
        }
        Ok(())
    }

    /// What a channel's streams are held to together.
    pub fn window_terms(&self, of_channel: &[StreamId]) -> WindowTerms {
        let streams =
            of_channel.iter().map(|id| self.streams.get(id).expect("what a channel lists is there"));
        let (mut offer, mut unsent) = (u64::MAX, 0);
        for stream in streams.filter(|stream| stream.state == StreamState::Sending) {
            offer = offer.min(stream.offer);
            unsent += u64::from(stream.next < stream.end);
        }
        let share = whole_groups(offer / unsent.max(1), u64::MAX).max(SHARE_MIN);
        assert!(share > 0, "a share that is nothing would let a window stand still (D8)");
        WindowTerms { offer, share }
    }

    /// The transport has answered the oldest range of a stream: its channel, and the blob. `is_read` says whether that could be
    /// read; where it could not, the stream ends and the blob is gone, and nothing else is (O16).
    pub fn on_range(&mut self, id: StreamId, is_read: bool) -> Option<(Slot, BlobHash)> {
        // Late: the stream has ended meanwhile, and may have been asked for anew.
        let stream = self.streams.get_mut(&id).filter(|stream| stream.state != StreamState::Answering)?;
        // An answer to a range that was never asked for changes nothing.
        stream.unanswered = stream.unanswered.saturating_sub(1);
        let (slot, hash) = (stream.channel, stream.terms.hash);
        if !is_read {
            stream.state = StreamState::Ended;
            self.blobs.remove(&hash);
        }
        Some((slot, hash))
    }
}

/// As many bytes as fit into `room`: whole groups, or all of the rest with its tail.
pub fn whole_groups(room: u64, rest: u64) -> u64 {
    let bytes = if rest <= room { rest } else { room / GROUP * GROUP };
    assert!(bytes <= room && bytes <= rest, "no more than there is, and than there is room for");
    bytes
}

impl Canon for (StreamId, &Stream) {
    fn canon(&self, out: &mut Canonical) {
        let (id, stream) = self;
        out.tag(b's');
        out.number(id.conn.0);
        out.number(u64::from(id.index));
        out.tag(stream.state as u8);
        out.tag(stream.unanswered);
        out.number(stream.next);
        out.number(stream.end);
        out.number(stream.offer);
        stream.tail.canon(out);
    }
}

impl Canon for (BlobHash, u64) {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'b');
        out.bytes(&self.0.0);
        out.number(self.1);
    }
}
