//! Counters, events and refused keys of a limiter.

mod events;
mod numbers;
mod observers;
mod shadow;
