//! A stream's outbound half: messages and content into frames.
//!
//! A chunk's frame is one piece of memory: header and proofs are put down, and content is read from the disk to its
//! place between them. QUIC looks for what it sends among all pieces that it holds, so few large ones are cheaper
//! than content that goes out from where it was read with proofs in pieces of their own between.

use std::{collections::VecDeque, io, sync::Arc};

use ::iroh::endpoint::{SendStream, VarInt, WriteError};
use bytes::Bytes;
use decdn_driver::Outgoing;
use decdn_engine::{
    blob::{Encoder, Part},
    ids::StreamId,
    io::Input,
    limits::{CHUNK_BYTES, SEND_RANGES},
    wire::{Code, Message, frame},
};
use tokio::{sync::mpsc, task::JoinHandle};

use super::iroh::{Credit, Events};
use crate::store::{Blob, BlobStore};

/// Messages that may wait on one stream. No honest exchange comes near it.
pub(super) const MESSAGES_MAX: usize = 64;
/// Items of a stream's own lane that may wait.
pub(super) const ITEMS_MAX: usize = MESSAGES_MAX + SEND_RANGES as usize;

/// Room for what comes before a frame's content.
const HEADER_BYTES: usize = 16;

/// What goes out in the order of the stream's own lane.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a stream's queue holds a few dozen at most")]
pub(super) enum Item {
    Message(Message),
    Range(Outgoing),
    Finish,
}

pub(super) struct Writer {
    pub(super) stream: StreamId,
    pub(super) send: SendStream,
    pub(super) events: Events,
    /// From channels' lanes: may pass content.
    pub(super) urgent: mpsc::Receiver<Message>,
    pub(super) items: mpsc::Receiver<Item>,
    pub(super) blobs: BlobStore,
}

/// A range on its way from the disk: its frames, and where the encoding is behind it.
type Reading = JoinHandle<io::Result<(Vec<Bytes>, Encoding)>>;

/// Where the stream's one encoding is.
struct Encoding {
    blob: Arc<Blob>,
    walk: Encoder,
}

enum Broken {
    /// The stream or the connection is gone.
    Stream(Option<Code>),
    /// The driver is gone.
    Driver,
}

impl Writer {
    pub(super) async fn run(&mut self) {
        match self.write().await {
            Ok(()) | Err(Broken::Driver | Broken::Stream(None)) => {}
            Err(Broken::Stream(Some(code))) => {
                let input = Input::StreamClosed { stream: self.stream, code: Some(code) };
                let _ = self.events.send((input, Credit::None)).await;
            }
        }
    }

    async fn write(&mut self) -> Result<(), Broken> {
        let mut encoding: Option<Encoding> = None;
        let mut ranges: VecDeque<(Outgoing, Option<Reading>)> = VecDeque::new();
        let mut is_finishing = false;
        loop {
            // Everything that is there already, without waiting: ranges, so that the next one is being read.
            while ranges.len() < usize::from(SEND_RANGES) {
                match self.items.try_recv() {
                    Ok(Item::Range(range)) => ranges.push_back((range, None)),
                    Ok(item) if ranges.is_empty() => is_finishing |= self.write_item(item).await?,
                    Ok(item) => {
                        // After content: that goes out first.
                        self.write_ranges(&mut ranges, &mut encoding).await?;
                        is_finishing |= self.write_item(item).await?;
                    }
                    Err(_) => break,
                }
            }
            if !ranges.is_empty() {
                self.write_range(&mut ranges, &mut encoding).await?;
                continue;
            }
            self.write_urgent().await?;
            if is_finishing {
                // A stream that was closed or stopped meanwhile is finished as well.
                let _ = self.send.finish();
                return Ok(());
            }
            tokio::select! {
                biased;
                message = self.urgent.recv() => self.write_message(&message.ok_or(Broken::Driver)?).await?,
                item = self.items.recv() => match item.ok_or(Broken::Driver)? {
                    Item::Range(range) => ranges.push_back((range, None)),
                    item => is_finishing |= self.write_item(item).await?,
                },
                stopped = self.send.stopped() => {
                    return Err(Broken::Stream(stopped.ok().flatten().map(code_of)));
                }
            }
        }
    }

    /// Whether the item was the last one.
    async fn write_item(&mut self, item: Item) -> Result<bool, Broken> {
        match item {
            Item::Message(message) => self.write_message(&message).await.map(|()| false),
            Item::Finish => Ok(true),
            Item::Range(_) => unreachable!("ranges are taken out before"),
        }
    }

    async fn write_message(&mut self, message: &Message) -> Result<(), Broken> {
        let mut frame = Vec::new();
        frame::encode(message, &mut frame);
        self.send.write_all(&frame).await.map_err(broken)
    }

    async fn write_urgent(&mut self) -> Result<(), Broken> {
        while let Ok(message) = self.urgent.try_recv() {
            self.write_message(&message).await?;
        }
        Ok(())
    }

    async fn write_ranges(
        &mut self,
        ranges: &mut VecDeque<(Outgoing, Option<Reading>)>,
        encoding: &mut Option<Encoding>,
    ) -> Result<(), Broken> {
        while !ranges.is_empty() {
            self.write_range(ranges, encoding).await?;
        }
        Ok(())
    }

    /// Sends the oldest range, while the one after it is being read.
    async fn write_range(
        &mut self,
        ranges: &mut VecDeque<(Outgoing, Option<Reading>)>,
        encoding: &mut Option<Encoding>,
    ) -> Result<(), Broken> {
        let Some((range, reading)) = ranges.pop_front() else { return Ok(()) };
        let stream = self.stream;
        let reading = reading.unwrap_or_else(|| read(&self.blobs, range, encoding.take()));
        // None where the blob can't be read, is shorter than it was, or the thread that read it was cut off.
        let frames = reading.await.ok().and_then(Result::ok);
        let is_read = frames.is_some();
        if let Some((frames, behind)) = frames {
            match ranges.front_mut() {
                Some((next, reading @ None)) => *reading = Some(read(&self.blobs, *next, Some(behind))),
                _ => *encoding = Some(behind),
            }
            for frame in frames {
                self.write_urgent().await?;
                self.send.write_chunk(frame).await.map_err(broken)?;
            }
        }
        let input = if is_read { Input::RangeSent { stream } } else { Input::RangeFailed { stream } };
        self.events.send((input, Credit::None)).await.map_err(|_| Broken::Driver)
    }
}

/// Reads a range as the frames of its chunks. `before` is where the encoding was left: a stream's range goes on there.
fn read(blobs: &BlobStore, range: Outgoing, before: Option<Encoding>) -> Reading {
    let blobs = blobs.clone();
    tokio::task::spawn_blocking(move || {
        let mut encoding = match before {
            Some(encoding) if encoding.is_at(range) => encoding,
            _ => Encoding::start(&blobs, range)?,
        };
        let frames = encoding.frames(range.offset + range.bytes)?;
        Ok((frames, encoding))
    })
}

impl Encoding {
    fn start(blobs: &BlobStore, range: Outgoing) -> io::Result<Self> {
        let blob = blobs.get(range.hash)?;
        let total = blob.outboard.total_bytes();
        let walk = Encoder::new(total, range.offset, total.saturating_sub(range.offset))
            .map_err(|_| io::ErrorKind::UnexpectedEof)?;
        Ok(Self { blob, walk })
    }

    fn is_at(&self, range: Outgoing) -> bool {
        self.walk.position() == range.offset && self.blob.outboard.root() == range.hash
    }

    /// The chunks up to content byte `end`.
    fn frames(&mut self, end: u64) -> io::Result<Vec<Bytes>> {
        let mut frames = Vec::new();
        while let Some((bytes, until)) = self.walk.chunk(end, CHUNK_BYTES as u64) {
            let bytes = usize::try_from(bytes).expect("a chunk fits in memory");
            let mut frame = Vec::with_capacity(bytes + HEADER_BYTES);
            frame::encode_chunk_header(bytes, &mut frame);
            while let Some(part) = self.walk.next_until(until) {
                match part {
                    Part::Proof(node) => {
                        let pair = self.blob.outboard.pair(node).ok_or(io::ErrorKind::InvalidData)?;
                        frame.extend_from_slice(pair);
                    }
                    Part::Content { offset, bytes } => {
                        let from = frame.len();
                        frame.resize(from + usize::try_from(bytes).expect("a group fits in memory"), 0);
                        self.blob.read(offset, &mut frame[from..])?;
                    }
                }
            }
            frames.push(frame.into());
        }
        if self.walk.position() < end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(frames)
    }
}

fn code_of(code: VarInt) -> Code {
    Code::from_wire(u32::try_from(code.into_inner()).unwrap_or(u32::MAX))
}

fn broken(error: WriteError) -> Broken {
    match error {
        WriteError::Stopped(code) => Broken::Stream(Some(code_of(code))),
        _ => Broken::Stream(None),
    }
}
