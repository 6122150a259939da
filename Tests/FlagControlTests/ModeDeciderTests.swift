import Configuration
import FlagControl
import Flags
import HTTP
import JSON
import Streams
import Testing
import Time

@Suite struct `Which mode a request gets` {
  private let desk: Desk
  private let route: RouteSettings
  private let capable = Capability(understandsStreamEnd: true, source: .prefer)

  init() throws {
    desk = try Desk()
    let text = """
      { upstreams: { b: { url: "http://backend" } }, routes: [{ name: "chat", path: "/*", upstreams: "b" }] }
      """
    let configuration = try Configuration(decoding: JSONValue(parsing: text, dialect: .json5))
    route = try #require(configuration.routes.first)
  }

  private func decider(_ file: String) throws -> ModeDecider {
    ModeDecider(FlagSnapshot(try flagSet(file), loadedAt: WallTime(milliseconds: 0)), loop: desk.loop)
  }

  private func request(_ fields: [(String, String)] = []) throws -> RequestHead {
    var all = Fields()
    for (name, value) in fields { all.append(try #require(FieldName(name)), try #require(FieldValue(value))) }
    return RequestHead(method: .get, target: try #require(Target("/chat?user=query")), fields: all)
  }

  private func decide(
    _ decider: ModeDecider, as key: String? = nil, capability: Capability? = nil
  ) throws -> ModeDecision {
    let request = try request(key.map { [("Authorization", "Bearer \($0)")] } ?? [])
    return decider.decide(for: request, capability: capability ?? capable, on: route, IdentitySettings())
  }

  @Test func `operators count before the guard, and the guard before the file`() throws {
    let decider = try decider(flagFile(.graceful))
    #expect(try decide(decider).variant == .graceful && decide(decider).reason == .static)
    decider.adopt(ClosingOverride(isRolledBack: true))
    #expect(try decide(decider).variant == .legacy && decide(decider).reason == .guarded)
    decider.adopt(ClosingOverride(isRolledBack: true, kill: .announced))
    #expect(try decide(decider).variant == .legacy && decide(decider).reason == .killed)
    decider.adopt(ClosingOverride())
    #expect(try decide(decider).variant == .graceful)
  }

  @Test func `open streams are recalled by the stricter of the file and the override`() throws {
    let decider = try decider(flagFile(.graceful))
    #expect(decider.recall == .none)
    decider.adopt(ClosingOverride(isRolledBack: true))
    #expect(decider.recall == .announced)
    decider.adopt(ClosingOverride(isRolledBack: true, kill: .hard))
    #expect(decider.recall == .hard)
    decider.adopt(ClosingOverride())
    decider.adopt(
      FlagSnapshot(try flagSet(flagFile(.graceful, state: "DISABLED")), loadedAt: WallTime(milliseconds: 0)))
    #expect(decider.recall == .announced)
  }

  @Test func `the guard judges clients that the fraction sorted, and no others`() throws {
    let decider = try decider(flagFile(percent: 50, named: "insider"))
    var arms: Set<Bool> = []
    for client in 0..<40 {
      let decision = try decide(decider, as: "client \(client)")
      let cohort = try #require(decision.standing.cohort)
      #expect(cohort.isTreated == (decision.variant == .graceful) && cohort.client == decision.clientKey)
      #expect(cohort.file == decider.flags.flagSet.hash && !decision.lacksKey)
      arms.insert(cohort.isTreated)
    }
    #expect(arms == [true, false])
    let nobody = try decide(decider)
    guard case .withoutIdentity = nobody.standing else {
      Issue.record("\(nobody.standing)")
      return
    }
    #expect(nobody.lacksKey && nobody.clientKey == nil)
    let old = try decide(decider, as: "client 1", capability: Capability(understandsStreamEnd: false, source: .none))
    guard case .notCapable = old.standing else {
      Issue.record("\(old.standing)")
      return
    }
    decider.adopt(ClosingOverride(kill: .announced))
    let killed = try decide(decider, as: "client 1")
    guard case .noFraction = killed.standing else {
      Issue.record("\(killed.standing)")
      return
    }
  }

  @Test func `a client that a rule of the operator's names is not compared`() throws {
    let decider = try decider(flagFile(percent: 50, named: "insider"))
    var identity = IdentitySettings()
    identity.header = "x-user"
    let request = try request([("X-User", "insider")])
    let decision = decider.decide(for: request, capability: capable, on: route, identity)
    guard case .ownRule(isTreated: true) = decision.standing else {
      Issue.record("\(decision.standing)")
      return
    }
    #expect(decision.variant == .graceful)
  }

  @Test func `an identity is what the operator named, in that order, else the credentials`() throws {
    var settings = IdentitySettings()
    let everything = try request([
      ("X-User", "header"), ("Cookie", "a=b; user=cookie"), ("Authorization", "Bearer secret"),
    ])
    func key(_ request: RequestHead) -> String? {
      ClientIdentity.context(of: request, capability: capable, on: route, settings, seconds: 0).targetingKey
    }
    let credentials = try #require(key(everything))
    #expect(credentials.count == 64 && !credentials.contains("secret"))
    settings.query = "user"
    #expect(key(everything) == "query")
    settings.cookie = "user"
    #expect(key(everything) == "cookie")
    settings.header = "x-user"
    #expect(key(everything) == "header")
    #expect(key(try request([("X-User", ""), ("Cookie", "user=cookie")])) == "cookie")
    settings = IdentitySettings()
    #expect(key(try request()) == nil)
  }

  @Test func `clients are counted by a hash that depends on the seed and on their identity alone`() throws {
    let (one, other) = (
      try request([("Authorization", "Bearer one")]), try request([("Authorization", "Bearer other")])
    )
    let again = try request([("User-Agent", "curl/8"), ("Authorization", "Bearer one")])
    func hash(_ request: RequestHead, seed: UInt64 = 1) -> UInt64? {
      ClientIdentity.hash(of: request, IdentitySettings(), seed: seed)
    }
    #expect(hash(one) == hash(again) && hash(one) != hash(other) && hash(one) != hash(one, seed: 2))
    #expect(hash(try request()) == nil)
  }
}
