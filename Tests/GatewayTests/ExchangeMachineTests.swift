import Gateway
import Testing

@Suite struct ExchangeMachineTests {
  final class Backends: Sendable {}

  enum Step: Sendable {
    case seeksRun, asks, goesBack, isOver, isRefused, ends
    case isAnswered(by: String)
  }

  struct Story: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let steps: [Step]
    /// Where the request is then.
    let phase: String
    /// What the last step brings with it.
    let action: String

    init(_ name: String, _ steps: [Step], _ phase: String, _ action: String = "") {
      (testDescription, self.steps, self.phase, self.action) = (name, steps, phase, action)
    }
  }

  static let stories = [
    Story("a request begins without anybody", [], "routing"),
    Story("backends are asked", [.asks], "asking"),
    Story("a good response is a responder's", [.asks, .isAnswered(by: "relay")], "answering relay"),
    Story("an answer that is complete is over", [.asks, .isAnswered(by: "relay"), .isOver], "over"),
    Story("a run's path is looked up", [.seeksRun], "inRun"),
    Story("a run that is found answers", [.seeksRun, .isAnswered(by: "run")], "answering run"),
    Story("a run that is not found leaves the request to its route", [.seeksRun, .goesBack, .asks], "asking"),
    Story("a run for which there is no room leaves it too", [.isAnswered(by: "run"), .goesBack, .asks], "asking"),
    Story(
      "a run whose response is no stream has it relayed", [.isAnswered(by: "run"), .isAnswered(by: "relay")],
      "answering relay"),
    Story("backends that are asked stay asked", [.asks, .goesBack], "asking"),
    Story("a run is not looked for while backends are asked", [.asks, .seeksRun], "asking"),
    Story("a client that leaves early cancels the backends", [.asks, .ends], "over", "cancel"),
    Story("a client that leaves late dismisses its responder", [.isAnswered(by: "run"), .ends], "over", "dismiss run"),
    Story("a client that leaves while a run is sought", [.seeksRun, .ends], "over", "nothing"),
    Story("a client that leaves before anything", [.ends], "over", "nothing"),
    Story("a client can't leave twice", [.asks, .ends, .ends], "over", "nothing"),
    Story("a refusal cancels the backends", [.asks, .isRefused], "over", "cancel"),
    Story("a responder that refuses knows", [.isAnswered(by: "run"), .isRefused], "over", "nothing"),
    Story("nobody is asked after the end", [.isOver, .asks], "over"),
    Story("nobody answers after the end", [.isOver, .isAnswered(by: "relay")], "over"),
    Story("nobody is looked for after the end", [.isOver, .seeksRun], "over"),
    Story("nothing comes back after the end", [.isOver, .goesBack], "over"),
  ]

  @Test(arguments: stories)
  func `a request is served by one at a time`(story: Story) {
    let backends = Backends()
    var machine = ExchangeMachine<Backends, String>()
    var action = ""
    for step in story.steps {
      action = ""
      switch step {
      case .seeksRun: machine.seeksRun()
      case .asks: machine.asks(backends)
      case .goesBack: machine.goesBack()
      case .isAnswered(let name): machine.isAnswered(by: name)
      case .isOver: machine.isOver()
      case .isRefused: action = describe(machine.isRefused())
      case .ends: action = describe(machine.ends())
      }
    }
    #expect((machine.asker != nil) == (story.phase == "asking"))
    let answerer = machine.answerer.map { " \($0)" } ?? ""
    #expect("\(machine.phase)\(answerer)" == story.phase)
    #expect(action == story.action)
  }

  private func describe(_ action: ExchangeMachine<Backends, String>.Action) -> String {
    switch action {
    case .nothing: "nothing"
    case .cancel: "cancel"
    case .dismiss(let responder): "dismiss \(responder)"
    }
  }

  @Test func `what ended holds on to nobody`() {
    weak var backends: Backends?
    var machine = ExchangeMachine<Backends, String>()
    do {
      let asked = Backends()
      backends = asked
      machine.asks(asked)
    }
    #expect(backends != nil)
    machine.isOver()
    #expect(backends == nil)
  }
}
