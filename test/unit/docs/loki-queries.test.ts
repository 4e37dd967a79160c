/** docs/reference/exporters/loki-queries.md has each shipped query and alert, all with data on each Loki, that of deploy/compose/ among them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { PAGE, RESULTS, pageOf } from '../../loki/page.ts'
import type { Results } from '../../loki/page.ts'
import { shippedQueries } from '../../loki/queries.ts'
import { read } from '../support/pages.ts'

const RENEW = 'run make loki'
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what write-loki.ts wrote
const all = JSON.parse(readFileSync(RESULTS, 'utf8')) as Results[]

test('loki page: equals its program’s output (else: node test/loki/write-loki.ts)', () => {
  assert.equal(readFileSync(PAGE, 'utf8'), pageOf(all))
})

test('loki page: each shipped query has data, and each alert fired, on two versions', () => {
  const shipped = shippedQueries().map(({ where, title }) => `${where}, ${title}`)
  const alerts = Array.from(read('deploy/loki/ktrail.rules.yaml').matchAll(/- alert: (\w+)/g), ([, name]) => name)
  assert.ok(all.length >= 2 && shipped.length >= 50 && alerts.length >= 5)
  for (const { version, queries, alerts: fired } of all) {
    assert.deepEqual(
      queries.map(({ where, title }) => `${where}, ${title}`),
      shipped,
      RENEW,
    )
    assert.deepEqual(
      queries.filter(({ results }) => results === 0),
      [],
      version,
    )
    assert.deepEqual(fired.toSorted(), alerts.toSorted(), RENEW)
  }
  const [, pinned] = /grafana\/loki:([\d.]+)/.exec(read('deploy/compose/compose.yaml')) ?? []
  assert.ok(
    all.some(({ version }) => version === pinned),
    `${pinned}: ${RENEW}`,
  )
})
