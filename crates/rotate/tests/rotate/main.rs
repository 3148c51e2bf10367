//! Rotations against real upstreams, and killed wherever they can be.

mod aws;
mod crash;
mod database;
mod exec;
mod life;
mod openbao;
mod postgres;
mod schedule;
mod upstream;
mod webhook;
mod world;
