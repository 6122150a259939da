import Runs
import Streams

/// Where all replicas can see how a run stands.
struct RunNotice {
  let id: RunID
  let store: any RunStore

  func post(_ status: RunStatus) { store.post(id, status) }
  func post(wish: DisconnectPolicy) { store.post(id, wish: wish) }
}
