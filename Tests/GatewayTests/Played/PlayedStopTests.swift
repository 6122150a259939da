import Gateway
import Loop
import Streams
import Testing
import Time

/// What a gateway that stops holds on to.
@Suite struct PlayedStopTests {
  enum Scene: CaseIterable {
    case idle, directStream, directAnswer, backendIsDialed, readRun, unreadRun, openingRun, endedRun, slowReader
    case copyOnAnotherLoop, sharedRun, unreadSharedRun, degradedRun, followedRun, workersRun, waitsForStore, tail
  }

  private func play(_ scene: Scene) throws -> [WeakLoop] {
    let truth = PlayedTruth()
    let large = String(repeating: "x", count: 300 << 10)
    var gateways: [PlayedGateway] = []
    func alone(_ configuration: String = PlayedGateway.usual(), _ variant: Mode = .graceful) throws -> PlayedGateway {
      gateways.append(try PlayedGateway(configuration, variant: variant))
      return gateways[0]
    }
    func replica() throws -> PlayedGateway {
      gateways.append(try PlayedGateway.replica(truth, runs: "onDisconnect: \"continue\""))
      return gateways[gateways.count - 1]
    }
    switch scene {
    case .idle: _ = try alone()
    case .directStream: try alone(PlayedGateway.direct()).open().backend.event("one")
    case .directAnswer:
      let gateway = try alone(PlayedGateway.direct())
      _ = gateway.connect(sending: "GET /chat HTTP/1.1\r\nHost: g\r\n\r\n")
      gateway.backends.last?.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    case .backendIsDialed: _ = try alone(PlayedGateway.direct()).request("GET", "/chat", turns: 0)
    case .readRun: try alone().open().backend.event("one")
    case .unreadRun:
      let (client, backend) = try alone(PlayedGateway.usual(runs: "{ onDisconnect: \"continue\" }")).open()
      client.leave()
      backend.event("one")
    case .openingRun: _ = try alone(PlayedGateway.usual(runs: "{ onDisconnect: \"continue\" }")).request()
    case .endedRun: try alone().open().backend.endStream()
    case .slowReader:
      let (client, backend) = try alone().open()
      client.isStuck = true
      backend.event(large)
    case .copyOnAnotherLoop:
      let a = try alone()
      let b = try PlayedGateway(beside: a)
      gateways.append(b)
      let (client, backend) = try a.open()
      _ = try b.request("GET", "/fermata/streams/\(client.stream)")
      backend.event("one")
      turns(a, b)
    case .sharedRun: try replica().open().backend.event("one")
    case .unreadSharedRun:
      let (client, backend) = try replica().open()
      client.leave()
      backend.event("one")
    case .degradedRun:
      let (_, backend) = try replica().open()
      truth.goAway()
      backend.event("one")
    case .followedRun:
      let (a, b) = (try replica(), try replica())
      let (client, backend) = try a.open()
      backend.event("one")
      turns(a, b)
      _ = try b.request("GET", "/fermata/streams/\(client.stream)")
      turns(a, b)
    case .workersRun: _ = try replica().request("GET", "/api/agents/stream/job-1")
    case .waitsForStore: _ = try replica().request("POST", "/chat", [("Idempotency-Key", "k1")], turns: 0)
    case .tail:
      let gateway = try alone(PlayedGateway.direct(), .legacy)
      let (client, backend) = try gateway.open(prefersEnd: false)
      backend.sendChunk("event: done\ndata: x\n\n")
      client.leave()
    }
    gateways.last?.turns(2)
    return gateways.map { WeakLoop($0.loop) }
  }

  @Test(arguments: Scene.allCases)
  func `a gateway that stops lets its loop go, whatever it was doing`(scene: Scene) throws {
    let loops = try play(scene)
    #expect(!loops.isEmpty)
    #expect(loops.allSatisfy { $0.loop == nil }, "something holds on to a loop, and so to its descriptors")
  }

  @Test(arguments: ["head", "claim"])
  func `a client that is refused as the drain ends is nobody's reader any more`(waitsFor: String) throws {
    let truth = PlayedTruth()
    let gateway = try PlayedGateway.replica(truth, runs: "onDisconnect: \"cancel\"")
    if waitsFor == "claim" { truth.holdsBack = ["claim"] }
    let client = gateway.connect(
      sending: "POST /chat HTTP/1.1\r\nHost: g\r\nPrefer: stream-end\r\nContent-Length: 0\r\n\r\n")
    gateway.endStreams()
    gateway.pass(.milliseconds(100))
    #expect(client.received.hasPrefix("HTTP/1.1 503 "))
    truth.letGo()
    gateway.turns()
    gateway.backends.last?.openStream()
    gateway.turns()
    #expect(gateway.backends.connections.allSatisfy { $0.isClosed })
    let opened = gateway.numbers.filter { $0.key.hasPrefix("fermata_streams_total") }.values.reduce(0, +)
    #expect(opened == 0)
  }
}

private final class WeakLoop {
  private(set) weak var loop: EventLoop?
  init(_ loop: EventLoop) { self.loop = loop }
}
