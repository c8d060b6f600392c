//! Lists of networks from files.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    time::{Duration, Instant},
};

use limiter_core::{AdmitOptions, Config, Limiter, LimiterBuilder, Networks};

use super::{Folder, Reloads};
use crate::{storm::Form, test_request::from};

const POLICY: &str = "[policies.api]\nquota = \"1000/hour\"\n";

async fn watched(folder: &Folder, reloads: &Reloads, root: &str) -> Result<Limiter, String> {
    let file = folder.file("limiter.toml");
    fs::write(&file, format!("reload = \"watch\"\n{root}\n{POLICY}")).unwrap();
    let config = Config::from_file(&file).map_err(|error| error.to_string())?;
    let limiter = reloads.observing(LimiterBuilder::from_config(config)).build().await;
    limiter.map_err(|error| error.to_string())
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// 403, 429, 200, or 0 for a request that is not counted.
async fn status(limiter: &Limiter, peer: &str) -> u16 {
    let api = limiter.policy("api").unwrap();
    match api.admit(&from(peer), AdmitOptions::default()).await {
        Ok(admission) => {
            if admission.permit().is_some() {
                200
            } else {
                0
            }
        }
        Err(refusal) => refusal.status(),
    }
}

#[tokio::test]
async fn lists_are_read_beside_the_file_and_watched() {
    let (folder, reloads) = (Folder::new(), Reloads::default());
    fs::create_dir(folder.file("lists")).unwrap();
    let (block, allow) = (folder.file("lists/drop.txt"), folder.file("allow.netset"));
    fs::write(&block, "; DROP\n192.0.2.0/24 ; SBL1\n").unwrap();
    fs::write(&allow, "# FireHOL\n192.0.2.7\n").unwrap();
    let root = "block = [\"198.51.100.1\"]\nblock_files = \"lists/drop.txt\"\n\
                allow_files = [\"allow.netset\"]";
    let limiter = watched(&folder, &reloads, root).await.unwrap();
    let statuses = async |expected: [u16; 4]| {
        for (peer, status_of) in
            ["192.0.2.1", "192.0.2.7", "198.51.100.1", "203.0.113.1"].into_iter().zip(expected)
        {
            assert_eq!(status(&limiter, peer).await, status_of, "{peer}");
        }
    };
    statuses([403, 0, 403, 200]).await;
    replace(&block, "{\"cidr\":\"203.0.113.0/24\"}\n{\"type\":\"metadata\"}\n");
    let event = reloads.wait();
    assert!(event.contains("drop.txt: 1 networks") && event.contains("-> 1 networks"), "{event}");
    statuses([200, 0, 403, 403]).await;
    replace(&block, "203.0.113.0/24\n192.0.2.1.1\n");
    let event = reloads.wait();
    assert!(
        event.contains("block_files") && event.contains("drop.txt.line 2: \"192.0.2.1.1\""),
        "{event}"
    );
    statuses([200, 0, 403, 403]).await;
    fs::remove_file(&block).unwrap();
    let event = reloads.wait();
    assert!(event.contains("drop.txt: cannot be read"), "{event}");
    replace(&block, "");
    assert!(!reloads.wait().starts_with("refused"));
    statuses([200, 0, 403, 200]).await;
}

#[tokio::test]
async fn a_list_that_is_wrong_stops_the_start() {
    let folder = Folder::new();
    let start = async |root: &str| watched(&folder, &Reloads::default(), root).await.unwrap_err();
    let error = start("never_ban_files = [\"nowhere.txt\"]").await;
    assert!(error.starts_with("never_ban_files") && error.contains("nowhere.txt"), "{error}");
    fs::write(folder.file("both.txt"), "10.0.0.0/8\n").unwrap();
    let error = start("allow = [\"10.0.0.0/8\"]\nblock_files = [\"both.txt\"]").await;
    assert!(error.starts_with("allow: 10.0.0.0/8 is in block as well"), "{error}");
}

/// Networks without number, and addresses around them.
struct Random(u64);

impl Random {
    /// xorshift64*.
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn network(&mut self) -> (IpAddr, u8) {
        let bits = (self.next() >> 32) as u32;
        if !self.next().is_multiple_of(3) {
            let prefix = 16 + (self.next() % 17) as u8;
            (Ipv4Addr::from(bits & (u32::MAX << (32 - prefix))).into(), prefix)
        } else {
            let prefix = 24 + (self.next() % 41) as u8;
            let bits = u128::from(0x2001_0000 | bits >> 20) << 96 | u128::from(self.next()) << 40;
            (Ipv6Addr::from(bits & (u128::MAX << (128 - prefix))).into(), prefix)
        }
    }
}

fn holds((network, prefix): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            (u32::from(network) ^ u32::from(address)).leading_zeros() >= u32::from(prefix)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (u128::from(network) ^ u128::from(address)).leading_zeros() >= u32::from(prefix)
        }
        _ => false,
    }
}

/// A million addresses, a thousand for each of a thousand small lists, IPv4 also as mapped.
#[test]
fn a_million_addresses_are_found_as_by_a_linear_search() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut found = 0;
    for _ in 0..1_000 {
        let list: Vec<_> = (0..1 + random.next() % 50).map(|_| random.network()).collect();
        let text: String =
            list.iter().map(|(network, prefix)| format!("{network}/{prefix}\n")).collect();
        let networks = Networks::parse_list(&text).unwrap();
        for _ in 0..1_000 {
            let near = list[random.next() as usize % list.len()];
            let noise = random.next() >> (random.next() % 64);
            let address: IpAddr = match near.0 {
                IpAddr::V4(v4) => Ipv4Addr::from(u32::from(v4) ^ noise as u32).into(),
                IpAddr::V6(v6) => {
                    let noise = u128::from(noise) << (random.next() % 64);
                    Ipv6Addr::from(u128::from(v6) ^ noise).into()
                }
            };
            let linear = list.iter().any(|network| holds(*network, address));
            found += u32::from(linear);
            assert_eq!(networks.contains(address), linear, "{address} in {text}");
            if let IpAddr::V4(v4) = address {
                assert_eq!(networks.contains(v4.to_ipv6_mapped().into()), linear);
            }
        }
    }
    assert!((100_000..900_000).contains(&found), "{found}");
}

/// In the long form a million networks, within 3 s.
#[tokio::test]
async fn a_list_of_many_networks_is_taken() {
    let (folder, reloads) = (Folder::new(), Reloads::default());
    let list = folder.file("many.netset");
    fs::write(&list, "").unwrap();
    let limiter = watched(&folder, &reloads, "block_files = [\"many.netset\"]").await.unwrap();
    assert_eq!(status(&limiter, "10.0.1.1").await, 200);
    let count = if Form::from_environment() == Form::Long { 1_000_000 } else { 20_000 };
    let line = |n: u32| format!("{}\n", Ipv4Addr::from(0x0a00_0001 + 2 * n));
    let text: String = (0..count).map(line).collect();
    let start = Instant::now();
    replace(&list, &text);
    let event = reloads.wait();
    let elapsed = start.elapsed();
    println!("{count} networks are taken after {elapsed:?}");
    assert!(event.contains(&format!("{count} networks")), "{event}");
    assert_eq!(status(&limiter, "10.0.1.1").await, 403);
    assert_eq!(status(&limiter, "10.0.1.2").await, 200);
    assert!(Form::from_environment() == Form::Short || elapsed < Duration::from_secs(3));
}
