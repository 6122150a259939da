import Bytes
import Streams

// What a connection says first: who it is, which database it wants, and whether Redis is ready.
extension RedisConnection {
  enum GreetingStep {
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

  func greeted(_ step: Int, _ reply: RedisReply) {
    let steps = greetingSteps
    guard step < steps.count else { return }
    switch steps[step] {
    case .authenticate, .select, .ping:
      // Redis's error names what was wrong, never the password.
      if reply.isError { return lose(.refused(reply.text)) }
    case .server:
      server = RedisServerInfo()
      fallthrough
    case .replication:
      // An account that may not ask can still use it: what is wrong shows when something is written.
      if !reply.isError { reply.withBytes { server.read($0) } }
      if let refusal = server.refusal(as: greeting.peer, allowsCluster: greeting.allowsCluster) {
        return lose(.refused(refusal))
      }
    case .identify: clientID = reply.integer
    // A user that may not name its connections can still use them.
    case .name: break
    }
    if step + 1 == steps.count { becameReady() } else { state = .greeting(step: step + 1) }
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
