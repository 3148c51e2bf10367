//! Which era an upstream speaks: as configured, else as found out with the first request that needs to know, remembered for
//! a bounded time.

use super::session::lock;
use portunus_core::limits;
use std::sync::Mutex;
use tokio::time::Instant;

/// What an operator says of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Nothing: it is found out.
    #[default]
    Auto,
    /// 2026-07-28 and later.
    Modern,
    /// 2025-03-26 to 2025-11-25: streamable HTTP with a handshake.
    Legacy,
    /// 2024-11-05: HTTP+SSE, where the URL is that of the stream.
    Sse,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Auto, Self::Modern, Self::Legacy, Self::Sse];
    /// The word used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Modern => "modern",
            Self::Legacy => "legacy",
            Self::Sse => "sse",
        }
    }
}

/// How a server speaks the legacy era.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Legacy {
    /// It does not.
    No,
    /// Over streamable HTTP.
    Streamable,
    /// Over HTTP+SSE.
    Sse,
}

/// What is known of one upstream. Some speak both eras.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    pub(super) modern: Option<bool>,
    pub(super) legacy: Option<Legacy>,
}

/// The memory of one upstream's eras.
pub(super) struct Eras {
    protocol: Protocol,
    memory: Mutex<(Known, Instant)>,
    /// Held while it is being found out, so that it is found out once.
    pub(super) finding: tokio::sync::Mutex<()>,
}

impl Eras {
    pub(super) fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            memory: Mutex::new((Known::default(), Instant::now())),
            finding: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn known(&self) -> Known {
        let (modern, legacy) = match self.protocol {
            Protocol::Modern => (Some(true), Some(Legacy::No)),
            Protocol::Legacy => (Some(false), Some(Legacy::Streamable)),
            Protocol::Sse => (Some(false), Some(Legacy::Sse)),
            Protocol::Auto => {
                let (known, until) = *lock(&self.memory);
                return if Instant::now() < until { known } else { Known::default() };
            }
        };
        Known { modern, legacy }
    }

    pub(super) fn found(&self, modern: Option<bool>, legacy: Option<Legacy>) {
        let known = self.known();
        let known = Known { modern: modern.or(known.modern), legacy: legacy.or(known.legacy) };
        *lock(&self.memory) = (known, Instant::now() + limits::ERA_TTL);
    }

    /// An answer that a server of the known era gives to mistakes only, or another server by now.
    pub(super) fn doubt(&self) {
        let mut memory = lock(&self.memory);
        memory.1 = memory.1.min(Instant::now() + limits::ERA_DOUBT);
    }
}
