import JSON
import Testing

@Suite struct SpellingTests {
  @Test(
    arguments: [
      ("idel", "idle"), ("tsl", "tls"), ("toatl", "total"), ("retyr", "retry"), ("chekc", "check"), ("tial", "tail"),
      ("tpo", "top"), ("srve", "serve"), ("upstrem", "upstream"), ("Idle", "idle"), ("keepallive", "keepalive"),
    ])
  func `a letter that is missing, too many, wrong, or swapped with its neighbour is seen`(word: String, meant: String) {
    let names = ["idle", "tls", "total", "retry", "check", "tail", "top", "serve", "upstream", "keepalive", "flags"]
    #expect(Spelling.nearest(to: word, among: names) == meant)
  }

  @Test(arguments: ["", "zzz", "listen", "drainage"])
  func `what is like nothing is no mistake for anything`(word: String) {
    #expect(Spelling.nearest(to: word, among: ["idle", "tls", "total"]) == nil)
  }
}
