//! The vault over a real store, with permits from a real policy engine.

#[cfg(test)]
mod credential;
#[cfg(test)]
mod doors;
#[cfg(unix)]
#[cfg(test)]
mod epochs;
#[cfg(unix)]
#[cfg(test)]
mod key;
#[cfg(test)]
mod service;
#[cfg(test)]
mod support;
#[cfg(test)]
mod vault;
