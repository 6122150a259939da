import Harness
import Loop
import Processes
import RunningGateway
import Testing
import Time

extension EndToEnd {
  /// Requests that would come back for ever.
  @Suite struct Loops {
    @Test func `a request that comes back is refused, and one that another gateway passed on is not`() async throws {
      // The gateway's own address is not known before it listens: a second gateway stands in front of it and behind.
      try await World.with { world in
        let inner = try await GatewayProcess.start(
          ["--upstream", "http://\(world.gateway.address)"], clients: world.clients)
        let through = await world.clients.fetch(ClientRequest("GET", "/inspect"), from: inner.address)
        #expect(through.status == 200)
        let names = through.text.matches(of: /Via: 1\.1 (fermata-[0-9a-f]{16})/).map { String($0.1) }
        #expect(names.count == 2 && Set(names).count == 2, "\(through.text)")
        let name = names.last ?? ""
        for via in ["1.1 \(name)", "1.0 other, 1.1 \(name.uppercased()) (comment)", "HTTP/1.1 \(name)"] {
          for method in ["GET", "POST", "OPTIONS"] {
            let request = ClientRequest(method, "/inspect", fields: [Script.Field("Via", via)])
            let result = await world.clients.fetch(request, from: world.gateway.address)
            #expect(result.status == 508 && result.text.contains("loop_detected"), "\(via)")
          }
        }
        for via in ["1.1 fermata", "1.1 fermata-0000000000000000", "1.1 x\(name)", "1.1 x (\(name))", ""] {
          let request = ClientRequest("GET", "/inspect", fields: [Script.Field("Via", via)])
          #expect(await world.clients.fetch(request, from: world.gateway.address).status == 200, "\(via)")
        }
        #expect(await world.gateway.metric("fermata_refusals_total", ["reason": "loop_detected"]) == 9)
        inner.signal(15)
        #expect(await inner.exit(within: .seconds(8)) == .code(0))
      }
    }

    @Test func `a gateway that is its own backend answers once`() async throws {
      let port = try RawListener().address.port
      let clients = try ClientLoop.start()
      let gateway = try await GatewayProcess.start(
        ["--upstream", "http://127.0.0.1:\(port)"], listen: "127.0.0.1:\(port)", clients: clients)
      let result = await clients.fetch(ClientRequest("GET", "/x"), from: gateway.address)
      #expect(result.status == 508 && result.text.contains("loop_detected"))
      #expect(await gateway.metric("fermata_requests_total") == 2)
      gateway.signal(15)
      #expect(await gateway.exit(within: .seconds(8)) == .code(0))
      clients.stop()
    }
  }
}
