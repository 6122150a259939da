import Files
import Harness
import Matrix
import Processes
import Streams
import Testing
import Time

/// What the columns, the rows and the page of edge cases have to hold.
@Suite struct CoverageTests {
  private static func text(_ path: String) throws -> String {
    String(decoding: try readFile("\(MatrixRun.root)/\(path)", limit: 1 << 20).bytes, as: UTF8.self)
  }

  private static func clients() throws -> [MatrixClient] {
    try MatrixClient.all(parsing: text("Tests/Matrix/clients.json5"))
  }

  @Test func `every outcome of a stream occurs in a column`() {
    var covered = Set(Behaviour.all.compactMap(\.outcome))
    // The client's own doing: the column in which a client's first connection is cut has it, see the judge.
    #expect(Behaviour.named("B11")?.action == .cutClient(behind: "word3"))
    covered.insert(.clientGone)
    #expect(Set(Outcome.allCases) == covered)
  }

  @Test func `every row of the table of modes occurs in cells`() throws {
    // docs/protocol.md, "Opting in": who understands stream_end and who does not, in each variant.
    var seen: Set<[String]> = []
    for client in try Self.clients() {
      for behaviour in Behaviour.all where behaviour.needs.isSubset(of: client.abilities) {
        for variant in Mode.allCases {
          let understands = behaviour.optsIn(client, variant: variant)
          let mode = Judge(client: client, variant: variant, behaviour: behaviour).mode
          seen.insert(["\(understands)", variant.rawValue, mode.rawValue])
        }
      }
    }
    #expect(
      seen == [
        ["true", "graceful", "graceful"], ["true", "shield", "graceful"], ["true", "legacy", "legacy"],
        ["false", "graceful", "legacy"], ["false", "shield", "shield"], ["false", "legacy", "legacy"],
      ])
  }

  @Test func `every column is named in the page of edge cases, and every cell and test of the page exists`() throws {
    let clients = try Self.clients()
    let tests = try Self.tests()
    var named: Set<String> = []
    var rows = 0
    for line in try Self.text("docs/sse-edge-cases.md").split(separator: "\n") where line.hasPrefix("| ") {
      let fields = line.dropFirst(2).dropLast(2).split(separator: " | ", omittingEmptySubsequences: false)
      guard fields.count == 6, !fields[0].hasPrefix("---"), fields[0] != "case" else { continue }
      rows += 1
      let shown = fields[5].split(separator: "`", omittingEmptySubsequences: false).enumerated()
        .filter { !$0.offset.isMultiple(of: 2) }.map { String($0.element) }
      #expect(!shown.isEmpty, "\(line)")
      for name in shown {
        if let behaviour = Behaviour.named(name) {
          named.insert(behaviour.id)
        } else if let cell = CellID(name) {
          #expect(Self.exists(cell, clients), "there is no cell \(cell)")
        } else {
          #expect(tests.contains(name), "there is no test \(name)")
        }
      }
    }
    #expect(rows >= 35)
    #expect(named == Set(Behaviour.all.map(\.id)))
  }

  private static func exists(_ cell: CellID, _ clients: [MatrixClient]) -> Bool {
    guard let client = clients.first(where: { $0.id == cell.client }),
      let transport = MatrixTransport.all.first(where: { $0.id == cell.transport }),
      let behaviour = Behaviour.named(cell.behaviour)
    else { return false }
    return transport.carries(behaviour, to: client, in: cell.mode)
  }

  /// The names of all tests, of the JavaScript library too.
  private static func tests() throws -> Set<String> {
    var names: Set<String> = []
    for (suffix, begin, end) in [("swift", "func `", "`"), ("js", #"test\(""#, #"""#)] {
      let child = try ChildProcess([
        "grep", "-rhoE", "--include=*.\(suffix)", "\(begin)[^\(end)]+\(end)", "\(MatrixRun.root)/Tests",
      ])
      child.closeInput()
      while let line = child.readLine(timeout: .seconds(10)) { names.insert(String(line.dropFirst(6).dropLast())) }
    }
    return names
  }

  @Test func `the whole truth of each way of a crowd is nothing lost, and a message less is one lost`() {
    for way in CrowdWay.allCases {
      let sent = CrowdPlay.race(seed: 7).play.sent
      var got = sent
      if way == .shield { got = sent.filter { $0.type != "complete" } + sent.filter { $0.type == "complete" } }
      let end = #"{"type":"stream_end","source":"gateway"}"#
      func judged(_ events: [ReceivedEvent]) -> CrowdWay.Outcome {
        way.judge(
          events + (way == .graceful ? [ReceivedEvent(type: "stream_end", data: end)] : []), isWhole: true, sent: sent)
      }
      #expect(judged(got).sawEnd && !judged(got).isMisread)
      #expect(judged(got).lost == (way.isGuarded ? 0 : 2), "\(way.title)")
      if way == .shield {
        got.remove(at: got.count - 2)
        #expect(judged(got).isMisread)
      } else if way.isGuarded {
        #expect(judged(Array(got.dropLast())).lost == 1, "\(way.title)")
      }
      #expect(judged(Array(got.reversed())).isMisread)
    }
  }

  @Test func `a race is the same for the same seed`() {
    #expect(CrowdPlay.race(seed: 3).play.sent == CrowdPlay.race(seed: 3).play.sent)
    let lengths = Set((0..<40).map { CrowdPlay.race(seed: $0).play.sent.count })
    #expect(lengths == [4, 5, 6, 7])
    #expect((0..<40).contains { CrowdPlay.race(seed: $0).leaves == nil })
    let early = (0..<1000).count { (number: UInt64) in
      if case .afterRequest = CrowdPlay.race(seed: number).leaves { true } else { false }
    }
    #expect((30...95).contains(early), "\(early) of 1,000 may leave before their stream opens")
  }
}
