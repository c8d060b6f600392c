//! The explanation of a request, as lines for people.

use std::fmt;

use super::{
    AnsweredBy, ExplainedAnswer, ExplainedBan, ExplainedClient, ExplainedPolicy, ExplainedQuota,
    ExplainedStrikes, Explanation,
};

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.client)?;
        for policy in &self.policies {
            write!(f, "{policy}")?;
        }
        write!(f, "answer: {}", self.answer)
    }
}

impl fmt::Display for ExplainedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Some(address), Some(found_in)) = (self.address, &self.found_in) {
            writeln!(f, "client: {address} ({found_in})")?;
        }
        if let (Some(list), Some(network)) = (self.list, &self.network) {
            writeln!(f, "list: {list}, by {network}")?;
        }
        if self.is_exempt {
            writeln!(f, "the endpoint is exempt")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "policy {} ({}), key {}", self.policy, self.mode, self.key)?;
        for ExplainedQuota { quota, used, remaining, reset_after } in &self.quotas {
            let reset = humantime::format_duration(*reset_after);
            writeln!(f, "  {quota}: {used} used, {remaining} left, nothing used in {reset}")?;
        }
        if self.quotas.is_empty() {
            writeln!(f, "  usage is not known: the store does not answer")?;
        }
        if let Some(reason) = self.never_banned {
            writeln!(f, "  never banned: {reason}")?;
        }
        if let Some(ExplainedStrikes { count, threshold }) = self.strikes {
            writeln!(f, "  strikes: {count} of {threshold}")?;
        }
        if let Some(ExplainedBan { in_force, until, duration, count }) = self.ban {
            let (state, duration) = (
                if in_force { "until" } else { "until (past)" },
                humantime::format_duration(duration),
            );
            writeln!(f, "  banned {state} {until}, for {duration}, bans so far: {count}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ExplainedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            None => f.write_str("passes")?,
            Some(status) => write!(f, "{status}")?,
        }
        if let Some(retry_after) = self.retry_after {
            write!(f, ", the same request passes in {}", humantime::format_duration(retry_after))?;
        }
        f.write_str(match self.by {
            AnsweredBy::Configuration => ", by the configuration",
            AnsweredBy::ClientAddress => ", by the client's address",
            AnsweredBy::Store => ", by the store",
            AnsweredBy::DenyCache => ", by the deny cache",
            AnsweredBy::Fallback => ", by the fallback",
        })?;
        match &self.error {
            None => Ok(()),
            Some(error) => write!(f, ": {error}"),
        }
    }
}
