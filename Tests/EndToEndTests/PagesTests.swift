import RunningGateway
import Testing

extension EndToEnd {
  /// The commands of the documentation.
  @Suite struct Pages {
    @Test(.timeLimit(.minutes(15))) func `every command of the pages works, and prints what the pages say`() throws {
      let run = try Packaging.output(["Tests/RealClients/pages.py", Program.path])
      #expect(run.isGood && run.lines.last == "all as the pages say", "\(run.lines.joined(separator: "\n"))")
    }
  }
}
