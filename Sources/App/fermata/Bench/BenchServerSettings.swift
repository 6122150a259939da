import Loop
import TLS

/// The settings that each server gets: those that suit event streams, one worker.
enum BenchServerSettings {
  static func nginx(backend: BenchBackend, front: BenchIdentity?, address: SocketAddress, folder: String) -> String {
    """
    daemon off;
    master_process off;
    worker_rlimit_nofile 20000;
    pid \(folder)/nginx.pid;
    error_log \(folder)/errors.txt crit;
    events { worker_connections 19000; }
    http {
      access_log off;
      client_body_temp_path \(folder)/body;
      proxy_temp_path \(folder)/proxy;
      fastcgi_temp_path \(folder)/fastcgi;
      uwsgi_temp_path \(folder)/uwsgi;
      scgi_temp_path \(folder)/scgi;
      tcp_nodelay on;
      keepalive_requests 1000000;
      upstream backend { server \(backend.address); keepalive 512; keepalive_requests 1000000; }
      server {
        listen \(address) \(front.map(secureListener) ?? "")backlog=4096;
        \(front.map(secureServer) ?? "")
        location / {
          proxy_pass \(backend.roots == nil ? "http" : "https")://backend;
          \(backend.roots.map(secureProxy) ?? "")
          proxy_http_version 1.1;
          proxy_set_header Connection "";
          proxy_buffering off;
          proxy_read_timeout 1h;
          proxy_send_timeout 1h;
        }
      }
    }

    """
  }

  private static func secureListener(_ front: BenchIdentity) -> String { front.carrier.isHTTP2 ? "ssl http2 " : "ssl " }

  /// nginx's TLS with clients. Small records are what each event is anyway.
  private static func secureServer(_ front: BenchIdentity) -> String {
    "ssl_certificate \(front.identity.certificate); ssl_certificate_key \(front.identity.key); "
      + "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:clients:10m; http2_max_concurrent_streams 128;"
  }

  /// nginx's TLS to a backend: verified and resumed like everybody's here.
  private static func secureProxy(_ roots: String) -> String {
    "proxy_ssl_verify on; proxy_ssl_trusted_certificate \(roots); proxy_ssl_name localhost; "
      + "proxy_ssl_server_name on; proxy_ssl_session_reuse on; proxy_ssl_protocols TLSv1.2 TLSv1.3;"
  }

  static func haproxy(backend: BenchBackend, front: BenchIdentity?, address: SocketAddress) -> String {
    let security =
      backend.roots.map { " ssl verify required ca-file \($0) verifyhost localhost sni str(localhost)" } ?? ""
    let secure = front.map { " ssl crt \($0.bundle) alpn \($0.carrier.isHTTP2 ? "h2" : "http/1.1")" } ?? ""
    return """
      global
        nbthread 1
        tune.h2.max-concurrent-streams 128
        maxconn 9500
      defaults
        mode http
        option http-no-delay
        option abortonclose
        http-reuse always
        timeout connect 5s
        timeout client 1h
        timeout server 1h
        timeout http-keep-alive 75s
      frontend clients
        bind \(address) backlog 4096\(secure)
        default_backend streams
      backend streams
        server one \(backend.address) pool-max-conn 512\(security)

      """
  }

  /// - Parameters:
  ///   - front: what it shows clients.
  ///   - memory: for the logs of all runs.
  ///   - store: the URL of the Redis that keeps runs; without one this process keeps them.
  static func fermata(
    backend: BenchBackend, front: BenchIdentity?, keepsRuns: Bool, memory: String, store: String?
  ) -> String {
    let clients = front.map {
      "tls: { cert: \"\($0.identity.certificate)\", key: \"\($0.identity.key)\" }, http2: \($0.carrier.isHTTP2),"
    }
    let tls = backend.roots.map { ", tls: { roots: \"\($0)\", serverName: \"localhost\" }" } ?? ""
    let kind = store == nil ? "memory" : "redis"
    let runs = keepsRuns ? ", runs: { store: \"\(kind)\", limit: \"1GB\" }" : ""
    // What is in Redis is forgotten soon, so that a long measurement does not fill its memory; not before a lease is renewed.
    let redis = store.map { ", redis: { url: \"\($0)\", ttl: \"5s\" }" } ?? ""
    return """
      {
        \(clients ?? "")
        upstreams: { backend: { url: "\(backend.url)"\(tls) } },
        routes: [{ name: "default", upstreams: "backend"\(runs) }],
        runs: { memory: "\(memory)"\(redis) },
      }

      """
  }

  static func flags(variant: String) -> String {
    """
    {
      "$schema": "https://flagd.dev/schema/v0/flags.json",
      "flags": {
        "stream-closing": {
          "state": "ENABLED",
          "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" },
          "defaultVariant": "\(variant)"
        }
      }
    }

    """
  }
}
