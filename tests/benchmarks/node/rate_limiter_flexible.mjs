// Measures rate-limiter-flexible. Reads what to measure, a line of JSON each,
// and answers with a line.

import { once } from "node:events";
import { createInterface } from "node:readline";
import { Redis } from "ioredis";
import mysql from "mysql2";
import pg from "pg";
import { RateLimiterMySQL, RateLimiterPostgres, RateLimiterRedis } from "rate-limiter-flexible";

const options = { points: 1_000_000_000, duration: 3600, keyPrefix: "flexible" };

// A limiter of each database, which stays connected.
const limiters = new Map();

async function limiterOf(url) {
  if (!limiters.has(url)) limiters.set(url, await connect(url));
  return limiters.get(url);
}

async function connect(url) {
  switch (new URL(url).protocol) {
    case "redis:": {
      // Faster than with enableAutoPipelining, and than the client `redis`.
      const storeClient = new Redis(url);
      await once(storeClient, "ready");
      return new RateLimiterRedis({ ...options, storeClient });
    }
    case "postgres:":
      return ready(RateLimiterPostgres, {
        storeClient: new pg.Pool({ connectionString: url }),
        tableName: "flexible",
      });
    case "mysql:":
      return ready(RateLimiterMySQL, {
        storeClient: mysql.createPool({ uri: url }),
        dbName: "limiter",
        tableName: "flexible",
      });
  }
}

// The limiter, once it has made its table.
function ready(Limiter, further) {
  return new Promise((resolve, reject) => {
    const limiter = new Limiter({ ...options, ...further }, (error) =>
      error ? reject(error) : resolve(limiter),
    );
  });
}

async function measure({ url, keys, inFlight, milliseconds }) {
  const limiter = await limiterOf(url);
  const waits = [];
  const start = performance.now();
  const end = start + milliseconds;
  async function ask() {
    for (let sent = performance.now(); sent < end; ) {
      await limiter.consume(`user=${Math.floor(Math.random() * keys)}`);
      const now = performance.now();
      waits.push(now - sent);
      sent = now;
    }
  }
  await Promise.all(Array.from({ length: inFlight }, ask));
  const seconds = (performance.now() - start) / 1000;
  const median = Float64Array.from(waits).sort()[waits.length >> 1];
  return { perSecond: waits.length / seconds, microseconds: median * 1000 };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await measure(JSON.parse(line))));
}
process.exit();
