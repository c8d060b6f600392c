//! Sentinel: names the master of a service, and names another one after a
//! failover.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, ConnectionInfo, ErrorKind, RedisConnectionInfo, RedisError, RedisResult,
    Value,
};
use tokio::time::timeout;

use super::{
    byte_stream::{self, Opened},
    url,
};

/// The longest time of a call to one sentinel, before the next one is called.
const SENTINEL_TIMEOUT: Duration = Duration::from_millis(500);

/// The sentinels of a service.
#[derive(Clone)]
pub(super) struct Sentinel {
    pub(super) sentinels: Vec<ConnectionInfo>,
    pub(super) service: String,
}

impl Sentinel {
    /// Returns where the master is, by the first sentinel that knows, with the
    /// user, the password and the database of the URL.
    pub(super) async fn master(&self) -> RedisResult<ConnectionInfo> {
        let mut last = RedisError::from((ErrorKind::Io, "no sentinel answers"));
        for sentinel in &self.sentinels {
            match timeout(SENTINEL_TIMEOUT, self.master_by(sentinel)).await {
                Ok(Ok(master)) => return Ok(master),
                Ok(Err(error)) => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }

    async fn master_by(&self, sentinel: &ConnectionInfo) -> RedisResult<ConnectionInfo> {
        // A sentinel has no database, and no user of the service's.
        let plain = sentinel.clone().set_redis_settings(RedisConnectionInfo::default());
        let Opened { mut connection, driver, .. } =
            byte_stream::open(&plain, AsyncConnectionConfig::new()).await?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        let asked = connection.send_packed_command(&command);
        let answer = tokio::select! {
            answer = asked => answer?.extract_error()?,
            () = driver => return Err((ErrorKind::Io, "the sentinel closed the connection").into()),
        };
        if answer == Value::Nil {
            let message = "Sentinel knows no service of the name that the URL ends with";
            return Err((ErrorKind::MasterNameNotFoundBySentinel, message).into());
        }
        let (host, port): (String, u16) = redis::from_redis_value(answer)?;
        Ok(url::at(sentinel, host, port))
    }
}
