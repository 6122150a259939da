import Bytes

// What a connection says first: who it is, which database it wants, and whether Redis is ready.
extension RedisConnection {
  enum GreetingStep {
    case authenticate
    case select
    case name
    case identify
    /// Refused while Redis loads its data, so that nothing is sent to one that has just started.
    case ping
  }

  var greetingSteps: [GreetingStep] {
    var steps: [GreetingStep] = []
    if greeting.password != nil { steps.append(.authenticate) }
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
    case .identify: clientID = reply.integer
    // A user that may not name its connections can still use them.
    case .name: break
    }
    if step + 1 == steps.count { becameReady() } else { state = .greeting(step: step + 1) }
  }
}

extension RedisError {
  /// The description without the word that all have in front.
  var reason: String {
    switch self {
    case .notConnected(let text), .connectionLost(let text), .protocolViolation(let text), .refused(let text): text
    case .overloaded: "too many commands wait"
    case .timedOut: "no answer in time"
    }
  }
}
