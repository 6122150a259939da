/// The style of the report's page: light and dark, for a phone and for a desk.
enum MatrixStyle {
  static let text = """
    :root {
      color-scheme: light dark;
      --paper: #f6f7f8; --card: #fff; --ink: #1a1d21; --soft: #565e68; --line: #d9dde2; --link: #0b57b0;
      --good: #1b6e3c; --warn: #8a5300; --bad: #b3261e; --mark: #eef1f4;
    }
    @media (prefers-color-scheme: dark) {
      :root {
        --paper: #121519; --card: #1a1e23; --ink: #e4e7eb; --soft: #a2abb5; --line: #323941; --link: #82b5ff;
        --good: #6fcf97; --warn: #f2b84b; --bad: #ff8f85; --mark: #232930;
      }
    }
    * { box-sizing: border-box; }
    body { margin: 0; background: var(--paper); color: var(--ink); font: 13px/1.45 system-ui, sans-serif; }
    header { padding: 8px 16px; background: var(--card); border-bottom: 1px solid var(--line); }
    header p { margin: 0; color: var(--soft); overflow-wrap: anywhere; }
    h1 { font-size: 15px; margin: 0; }
    h2 { font-size: 13px; margin: 0 0 6px; }
    h3 { font-size: 13px; margin: 0; overflow-wrap: anywhere; padding-right: 60px; }
    form { padding: 10px 16px 0; }
    fieldset { border: 0; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 16px; }
    legend { padding: 0; color: var(--soft); }
    label { display: inline-flex; gap: 4px; align-items: baseline; }
    input { margin: 0; accent-color: var(--link); }
    main { display: grid; gap: 10px; padding: 10px 16px 40px; grid-template-columns: minmax(0, 1fr); }
    section { background: var(--card); border: 1px solid var(--line); border-radius: 4px; padding: 10px 12px; }
    .wide { overflow: auto; max-height: 80vh; }
    table { border-collapse: separate; border-spacing: 0; }
    th, td { text-align: left; padding: 2px 6px; border-bottom: 1px solid var(--line); white-space: nowrap; }
    th { font-weight: 500; background: var(--card); }
    small { color: var(--soft); }
    thead th { position: sticky; top: 0; z-index: 1; color: var(--soft); }
    tbody th, thead th:first-child { position: sticky; left: 0; }
    thead th:first-child { z-index: 2; }
    tbody tr:hover th, tbody tr:hover td { background: var(--mark); }
    td a { color: inherit; text-decoration: none; display: block; }
    td a:hover, td a:focus { text-decoration: underline; }
    .ok { color: var(--good); } .own { color: var(--link); } .blind { color: var(--warn); }
    .none { color: var(--soft); } .missing { color: var(--soft); } .failed { color: var(--bad); font-weight: 600; }
    dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 2px 10px; margin: 0; }
    dt { color: var(--soft); } dd { margin: 0; }
    aside { display: none; position: fixed; inset: auto 0 0 0; max-height: 60vh; overflow: auto; z-index: 3;
      background: var(--card); border-top: 2px solid var(--link); padding: 10px 16px; }
    aside:target { display: block; }
    aside p { margin: 4px 0; max-width: 80ch; }
    .close { position: absolute; right: 16px; color: var(--link); }
    pre, code { font: 12px/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; margin: 6px 0; }
    body:has(#show-ok:checked) .cell:not(.ok) a, body:has(#show-own:checked) .cell:not(.own) a,
    body:has(#show-blind:checked) .cell:not(.blind) a, body:has(#show-none:checked) .cell:not(.none) a,
    body:has(#show-missing:checked) .cell:not(.missing) a,
    body:has(#show-failed:checked) .cell:not(.failed) a { visibility: hidden; }
    @media (max-width: 700px) {
      form, main { padding-left: 8px; padding-right: 8px; }
      tbody th { min-width: 120px; max-width: 120px; white-space: normal; }
    }

    """
}
