import Harness
import RedisLog
import TLS
import Testing

@Suite(.enabled(if: RedisServer.isAvailable), .serialized) struct RedisTLSTests {
  @Test func `commands go over TLS, and only to a server that is trusted`() throws {
    let test = try TestLoop()
    let certificates = try TestCertificates()
    defer { certificates.remove() }
    let identity = try certificates.identity()
    let server = try RedisServer(
      usesTLS: true,
      [
        "--tls-cert-file", identity.certificate, "--tls-key-file", identity.key, "--tls-ca-cert-file",
        certificates.roots, "--tls-auth-clients", "no",
      ])
    var answers: [KeptReply] = []
    for roots in [certificates.roots, nil] {
      var settings = TLSClientSettings()
      settings.roots = roots
      let transport = EncryptedRedisTransport(
        dialer: test.dialer, host: "127.0.0.1", port: server.port, context: try TLSContext(client: settings))
      let redis = RedisConnection(loop: test.loop, transport: transport)
      defer { redis.close() }
      let count = answers.count
      redis.send("ECHO", "over TLS") { answers.append($0) }
      test.run(until: { answers.count > count })
    }
    #expect(answers[0] == .text("over TLS"))
    guard case .failure(.notConnected(let reason)) = answers[1] else { return #expect(answers[1] == .null) }
    #expect(reason.contains("certificate"))
  }
}
