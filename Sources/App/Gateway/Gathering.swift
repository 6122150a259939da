import Loop
import Time

/// One question to several workers: completed when all have answered, or when the time is up.
private final class Gathering<Answer: Sendable> {
  private var answers: [Answer] = []
  private let expected: Int
  private let each: (Answer) -> Void
  private var completion: (([Answer]) -> Void)?
  private var timer: Timer?

  init(_ expected: Int, each: @escaping (Answer) -> Void, completion: @escaping ([Answer]) -> Void) {
    self.expected = expected
    self.each = each
    self.completion = completion
  }

  /// - Parameter patience: `nil` waits for all, however long it takes.
  func begin(on loop: EventLoop, patience: Nanoseconds?) {
    guard expected > 0 else { return complete() }
    guard let patience else { return }
    // The timer holds this until one of both ends the wait.
    let timer = Timer(loop: loop) { self.complete() }
    timer.schedule(after: patience)
    self.timer = timer
  }

  func take(_ answer: Answer) {
    each(answer)
    guard completion != nil else { return }
    answers.append(answer)
    if answers.count == expected { complete() }
  }

  private func complete() {
    timer?.cancel()
    timer = nil
    completion.take()?(answers)
  }
}

extension Gateway {
  /// How long an operator's question waits for workers.
  private static let patience = Nanoseconds.seconds(1)

  /// Asks the workers that are at work, and calls `completion` with the answers that came within a second: a worker that
  /// is stuck holds up nobody, and no questions pile up before it.
  ///
  /// - Parameter each: is given every answer when it comes, late ones too.
  package func gather<Answer: Sendable>(
    _ question: @escaping @Sendable (Worker) -> Answer, each: @escaping (Answer) -> Void = { _ in },
    then completion: @escaping ([Answer]) -> Void
  ) {
    let silent = Set(silentWorkers(for: Self.livenessLimit).map(\.index))
    let asked = workers.filter { !silent.contains($0.index) }
    ask(asked, Gathering(asked.count, each: each, completion: completion), question, patience: Self.patience)
  }

  /// Asks every worker and calls `completion` when all have answered, however long that takes.
  func gatherAll<Answer: Sendable>(
    _ question: @escaping @Sendable (Worker) -> Answer, then completion: @escaping ([Answer]) -> Void
  ) {
    ask(workers, Gathering(workers.count, each: { _ in }, completion: completion), question, patience: nil)
  }

  private func ask<Answer: Sendable>(
    _ workers: [WorkerHandle], _ gathering: Gathering<Answer>, _ question: @escaping @Sendable (Worker) -> Answer,
    patience: Nanoseconds?
  ) {
    let collect = LoopBound<(Answer) -> Void>({ gathering.take($0) }, loop: loop)
    for worker in workers { worker.ask(from: loop, question, then: collect) }
    gathering.begin(on: loop, patience: patience)
  }
}
