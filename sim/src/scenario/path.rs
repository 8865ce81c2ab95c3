//! What the link between two actors is like in a run.

use decdn_engine::time::Span;

use super::file::Link;
use crate::{decide::Decisions, net::Path};

/// Draws it.
pub(super) fn path(link: &Link, decide: &mut Decisions) -> Path {
    let latency = link.latency_us.draw(decide);
    let jitter = link.jitter_us.draw(decide);
    let mbit = link.mbit.draw(decide);
    let life = link.life_ms.draw(decide);
    Path {
        latency: (Span(latency), Span(latency + jitter)),
        bandwidth: (mbit > 0).then_some(mbit * 125_000),
        life: (life > 0).then(|| Span::from_millis(life)),
        duplicate: link.duplicate,
        delay: link.delay,
    }
}
