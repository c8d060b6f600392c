//! Recipes for Rocket. Each module is one, with its test.

#![allow(clippy::must_use_candidate, reason = "Rocket calls the routes")]

pub mod account_key;
pub mod behind_proxies;
pub mod catchers;
pub mod charge_while_streaming;
pub mod cors;
pub mod cost;
pub mod login;
pub mod login_form_answers_200;
pub mod messages;
pub mod plans;
pub mod profiles;
pub mod refund_on_5xx;
pub mod several_policies;
pub mod testing_your_app;
pub mod users;

#[cfg(test)]
mod test_helpers;
