//! [`Policies`]: which policies a guard enforces, and how, by the application's choice.

use limiter_core::{Key, Quotas};
use rocket::Request;

/// Which policies a [`RateLimited`](crate::RateLimited) guard enforces. [`policy!`](crate::policy)
/// writes it for names alone.
///
/// ```
/// use limiter_rocket::{Key, Policies};
/// use rocket::Request;
///
/// /// By tenant, and uploads count for more.
/// struct Upload;
///
/// impl Policies for Upload {
///     const NAMES: &'static [&'static str] = &["uploads", "daily"];
///
///     fn key(request: &Request<'_>) -> Option<Key> {
///         request.param::<&str>(1)?.ok().map(|tenant| Key::custom("tenant", tenant))
///     }
///
///     fn cost(_: &Request<'_>) -> u64 {
///         5
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` names no policies for a `RateLimited` guard",
    label = "not the name of policies",
    note = "name a policy of the configuration: `limiter_rocket::policy!(Login = \"login\");`, \
            then `RateLimited<Login>`"
)]
pub trait Policies: Send + Sync + 'static {
    /// The names, as configured. They are decided together, unless
    /// [`choose`](Self::choose) takes some of them for a request.
    const NAMES: &'static [&'static str];

    /// The policies for this request, some of [`NAMES`](Self::NAMES), such as by
    /// the client's plan. Defaults to all of them.
    ///
    /// ```
    /// use limiter_rocket::Policies;
    /// use rocket::Request;
    ///
    /// /// Cached by the guard that finds the account, with `local_cache(|| Pays(true))`. The
    /// /// cache has one value a type: a bare `bool` would be anybody's.
    /// struct Pays(bool);
    ///
    /// struct Plan;
    ///
    /// impl Policies for Plan {
    ///     const NAMES: &'static [&'static str] = &["free", "paying"];
    ///
    ///     fn choose(request: &Request<'_>) -> &'static [&'static str] {
    ///         const FREE: &[&str] = &["free"];
    ///         const PAYING: &[&str] = &["paying"];
    ///         if request.local_cache(|| Pays(false)).0 { PAYING } else { FREE }
    ///     }
    /// }
    /// ```
    #[must_use]
    fn choose(request: &Request<'_>) -> &'static [&'static str] {
        let _ = request;
        Self::NAMES
    }

    /// The key to count, instead of the policies' own. Never let a client choose
    /// it freely: each new key is a new count. Defaults to `None`: the policies'
    /// keys.
    #[must_use]
    fn key(request: &Request<'_>) -> Option<Key> {
        let _ = request;
        None
    }

    /// The quotas of this request for one of [`NAMES`](Self::NAMES), instead of the
    /// policy's own: by the plan of its client. Defaults to `None`: the policy's.
    ///
    /// It is called for each request, so it returns a clone of what the application has
    /// made before, and looks nothing up: a guard before this one has found the plan.
    /// See [`PolicySet::with_quotas`](limiter_core::PolicySet::with_quotas) for what
    /// counts in which counters.
    ///
    /// ```
    /// use std::sync::LazyLock;
    /// use limiter_rocket::{Policies, Quotas};
    /// use rocket::Request;
    ///
    /// /// Cached by the guard that finds the account, with `local_cache(|| Pays(true))`.
    /// struct Pays(bool);
    ///
    /// struct Api;
    ///
    /// static PAYING: LazyLock<Quotas> = LazyLock::new(|| "50/hour".parse().unwrap());
    ///
    /// impl Policies for Api {
    ///     const NAMES: &'static [&'static str] = &["api"];
    ///
    ///     fn quotas(request: &Request<'_>, _policy: &str) -> Option<Quotas> {
    ///         request.local_cache(|| Pays(false)).0.then(|| PAYING.clone())
    ///     }
    /// }
    /// ```
    #[must_use]
    fn quotas(request: &Request<'_>, policy: &str) -> Option<Quotas> {
        let _ = (request, policy);
        None
    }

    /// The units that the request takes; 0 only looks. Defaults to 1.
    #[must_use]
    fn cost(request: &Request<'_>) -> u64 {
        let _ = request;
        1
    }
}

/// Names the policies of a guard:
///
/// ```
/// use limiter_rocket::{RateLimited, policy};
///
/// policy!(pub Login = "login");
/// policy!(Api = ["burst", "daily"]);
///
/// #[rocket::get("/x")]
/// fn x(_login: RateLimited<Login>, _api: RateLimited<Api>) {}
/// # let _ = x;
/// ```
///
/// The names are literals, since they are checked at launch:
///
/// ```compile_fail
/// const LOGIN: &str = "login";
/// limiter_rocket::policy!(Login = LOGIN);
/// ```
#[macro_export]
macro_rules! policy {
    ($visibility:vis $name:ident = [$($policy:literal),+ $(,)?]) => {
        #[doc = concat!("Names for a guard:", $(" `", $policy, "`"),+, ".")]
        #[derive(Clone, Copy, Debug)]
        $visibility struct $name;

        impl $crate::Policies for $name {
            const NAMES: &'static [&'static str] = &[$($policy),+];
        }
    };
    ($visibility:vis $name:ident = $policy:literal) => {
        $crate::policy!($visibility $name = [$policy]);
    };
    ($($other:tt)*) => {
        compile_error!(
            "write the type of a guard and the names of its policies as literals: \
             policy!(Login = \"login\"), or policy!(Api = [\"burst\", \"daily\"])"
        );
    };
}

policy!(pub DefaultPolicy = "default");
