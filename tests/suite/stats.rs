//! What a limiter counts, reports and notes.

mod events;
mod numbers;
mod shadow;
