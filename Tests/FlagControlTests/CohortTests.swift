import FlagControl
import Flags
import Streams
import Testing
import Time

@Suite struct `Who the guard compares` {
  private let treated = Cohort(isTreated: true, client: 1)
  private let control = Cohort(isTreated: false, client: 2)

  @Test func `only clients that chance alone has sorted are judged`() {
    var counts = CohortCounts()
    counts.closed(.judged(treated), .upstreamTruncated)
    counts.closed(.judged(control), .completed)
    counts.closed(.ownRule(isTreated: true), .completed)
    counts.closed(.ownRule(isTreated: true), .upstreamTruncated)
    counts.closed(.ownRule(isTreated: false), .completed)
    counts.closed(.withoutIdentity, .completed)
    counts.closed(.notCapable, .clientGone)
    counts.closed(.noFraction, .completed)
    #expect(counts.treated.streams == 1 && counts.control.streams == 1)
    #expect(counts.treated.cells(of: .truncation).first?.numerator == 1)
    #expect(counts.outside == ["own_rule": 3, "no_identity": 1, "not_capable": 1, "no_fraction": 1])
    #expect(counts.internalCompleted == 1, "only a stream that completed with the new variant shows that it works")
  }

  @Test func `streams that another flag file decided are not judged, in either arm`() {
    var counts = CohortCounts(file: "new")
    for file in ["old", "new"] {
      for isTreated in [true, false] {
        let cohort = Cohort(isTreated: isTreated, client: isTreated ? 1 : 2, file: file)
        counts.observe(.timeToFirstToken, 1, of: cohort)
        counts.closed(.judged(cohort), .upstreamTruncated)
        counts.observe(.unconfirmedCloses, 1, of: cohort)
        counts.countRetry(of: cohort)
      }
    }
    #expect(counts.outside == ["other_file": 2])
    for arm in [counts.treated, counts.control] {
      #expect(arm.streams == 1)
      for metric in [GuardMetric.truncation, .retries, .unconfirmedCloses, .timeToFirstToken] {
        #expect(arm.cells(of: metric).reduce(0) { $0 + $1.numerator } == 1, "\(metric)")
      }
    }
  }

  @Test(arguments: Outcome.allCases)
  func `what others ended says nothing of the variant, in either arm`(_ outcome: Outcome) {
    var counts = CohortCounts()
    counts.closed(.judged(treated), outcome)
    counts.closed(.judged(control), outcome)
    let isCensored = [.draining, .cancelled, .replacedByNewStream].contains(outcome)
    #expect(counts.treated.streams == (isCensored ? 0 : 1) && counts.control.streams == counts.treated.streams)
    #expect(counts.outside == (isCensored ? ["censored": 2] : [:]))
  }

  @Test func `a retry is a client that comes back soon after a bad end, once for each end`() {
    let start = MonotonicTime(nanoseconds: 1_000_000_000_000)
    func retries(_ sightings: [Sighting]) -> Double {
      var (finder, counts) = (RetryFinder(), CohortCounts())
      counts.closed(.judged(treated), .upstreamTruncated)
      finder.take(sightings, into: &counts)
      return counts.treated.cells(of: .retries).first?.numerator ?? -1
    }
    let end = Sighting(key: 7, at: start, left: treated)
    func back(_ key: Int, after delay: Nanoseconds) -> Sighting { Sighting(key: key, at: start + delay, left: nil) }
    #expect(retries([end, back(7, after: .seconds(4))]) == 1)
    #expect(retries([back(7, after: .seconds(4)), end]) == 1, "loops answer in any order")
    #expect(retries([end, back(7, after: .seconds(4)), back(7, after: .seconds(5))]) == 1)
    #expect(retries([end, back(7, after: .seconds(6))]) == 0)
    #expect(retries([end, back(8, after: .seconds(1))]) == 0, "another client, or another route")
    #expect(retries([back(7, after: .seconds(1))]) == 0, "a client's next question after a good end")
  }
}
