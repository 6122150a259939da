import Bytes
import Streams

// What a connection says first: who it is, which database it wants, and whether Redis is ready.
extension RedisConnection {
  package enum GreetingStep: CaseIterable, Sendable {
    case authenticate
    /// What kind of server it is.
    case server
    /// Whether it is a master.
    case replication
    case select
    case name
    case identify
    /// Refused while Redis loads its data, so that nothing is sent to one that has just started.
    case ping
  }

  var greetingSteps: [GreetingStep] {
    var steps: [GreetingStep] = []
    if greeting.password != nil { steps.append(.authenticate) }
    // Sections one by one: several at once are known since Redis 7.0, and all of them are long.
    steps += [.server, .replication]
    if greeting.database != 0 { steps.append(.select) }
    if !greeting.name.isEmpty { steps.append(.name) }
    return steps + [.identify, .ping]
  }

  func write(_ step: GreetingStep, to command: RedisCommand) {
    switch step {
    case .authenticate:
      command.append("AUTH")
      if let user = greeting.user { command.append(user) }
      command.append(greeting.password ?? "")
    case .server:
      command.append("INFO")
      command.append("server")
    case .replication:
      command.append("INFO")
      command.append("replication")
    case .select:
      command.append("SELECT")
      command.append(greeting.database)
    case .name:
      command.append("CLIENT")
      command.append("SETNAME")
      command.append(greeting.name)
    case .identify:
      command.append("CLIENT")
      command.append("ID")
    case .ping: command.append("PING")
    }
  }

  /// Takes in what the server answers.
  ///
  /// - Returns: why it can't be used, if it can't.
  func read(_ reply: RedisReply, to step: GreetingStep) -> String? {
    switch step {
    case .authenticate, .select, .ping:
      // Redis's error names what was wrong, never the password.
      return reply.isError ? reply.text : nil
    case .server:
      server = RedisServerInfo()
      fallthrough
    case .replication:
      // An account that may not ask can still use it: what is wrong shows when something is written.
      if !reply.isError { reply.withBytes { server.read($0) } }
      return server.refusal(as: greeting.peer, allowsCluster: greeting.allowsCluster)
    case .identify:
      clientID = reply.integer
      return nil
    // A user that may not name its connections can still use them.
    case .name: return nil
    }
  }
}

// What Redis refuses.
extension RedisConnection {
  /// Takes another account and another way to the same Redis, for the connections that are made from now on. One that
  /// carries commands is told the new account at once, so that a wrong one is noticed.
  func adopt(_ greeting: Greeting, over transport: any RedisTransport) {
    let hasChanged = greeting.user != self.greeting.user || greeting.password != self.greeting.password
    self.greeting = greeting
    self.transport = transport
    guard hasChanged, isReady, listener == nil, greeting.password != nil else { return }
    send {
      write(.authenticate, to: $0)
    } completion: { _ in
    }
  }

  /// Counts an error that Redis has answered.
  ///
  /// - Returns: what is wrong, if this connection is of no more use to anybody.
  func refused(_ reply: RedisReply) -> String? {
    let fault = reply.withBytes { RedisFault($0) }
    counts.errors[fault, default: 0] &+= 1
    metered?.meter.refused(fault)
    // A server of a cluster says where to go.
    if greeting.peer == .node, fault.isOfCluster { return nil }
    let text = reply.errorText
    lastRefusal = text
    return fault.losesConnection ? text : nil
  }
}

extension RedisError {
  /// The description without the word that all have in front.
  package var reason: String {
    switch self {
    case .notConnected(let text), .connectionLost(let text), .protocolViolation(let text), .refused(let text): text
    case .overloaded: "too many commands wait"
    case .timedOut: TimeLimit.storeCommand.ending("no answer in time")
    }
  }
}
