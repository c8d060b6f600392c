//! Recipes for Rocket. Each module is one, with its test.

#![allow(clippy::must_use_candidate, reason = "Rocket calls the routes")]

pub mod account_key;
pub mod behind_proxies;
pub mod catchers;
pub mod cors;
pub mod cost;
pub mod login;
pub mod login_form;
pub mod messages;
pub mod own_tests;
pub mod plans;
pub mod profiles;
pub mod refund;
pub mod several_policies;
pub mod token_budget;
pub mod users;

#[cfg(test)]
mod testing;
