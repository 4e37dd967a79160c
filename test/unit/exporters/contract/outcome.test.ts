import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkOutcome } from '../../../../exporters/contract/outcome.ts'

const error = new Error('no')
const refusal = (more: object = {}): object => ({ reason: 'too_large', events: 1, message: 'm', ...more })
const partial = (...refusals: unknown[]): object => ({ status: 'partial', refusals })
const retryable = (more: object): object => ({ status: 'retryable', error, ...more })

const good: ReadonlyArray<readonly [name: string, outcome: unknown]> = [
  ['delivered', { status: 'delivered' }],
  ['hold', { status: 'hold', error }],
  ['hold until repaired', { status: 'hold', repaired: Promise.resolve(), error }],
  ['hold with acknowledged events', { status: 'hold', acknowledged: [0, 2], error }],
  ['hold for good', { status: 'hold', forGood: true, error }],
  ['rejected', { status: 'rejected', reason: 'invalid', error }],
  ['retryable', retryable({})],
  ['retryable after a time', retryable({ afterMs: 0 })],
  ['retryable with all taken', retryable({ taken: 10 })],
  [
    'retryable with some refused of those taken',
    retryable({ taken: 3, refusals: [refusal({ events: 2, which: [0, 2] })] }),
  ],
  ['partial, how many', partial(refusal({ events: 10 }))],
  ['partial, which', partial(refusal({ events: 2, which: [0, 9] }), refusal({ which: [5], reason: 'x-1.y' }))],
  ['partial, which of some', partial(refusal({ events: 2, which: [0, 9] }), refusal({ events: 8 }))],
]
for (const [name, outcome] of good) {
  test(`outcome: ${name} keeps the contract`, () => assert.equal(checkOutcome({ count: 10 }, outcome), undefined))
}

const bad: ReadonlyArray<readonly [name: string, outcome: unknown, want: RegExp]> = [
  ['nothing', undefined, /^expected \{status: delivered .*, got nothing$/],
  ['null', null, /got nothing$/],
  ['a word', 'delivered', /got a string$/],
  ['no status', {}, /got status undefined$/],
  ['another status', { status: 'ok' }, /got status "ok"$/],
  ['hold without error', { status: 'hold' }, /^error: expected an Error, got nothing$/],
  ['hold with a wrong index', { status: 'hold', acknowledged: [99], error }, /^acknowledged: expected indexes below/],
  ['hold for a word', { status: 'hold', forGood: 'yes', error }, /^forGood: expected true or false, got a string$/],
  ['an error that is a text', { status: 'hold', error: 'no' }, /^error: expected an Error, got a string$/],
  [
    'rejected without reason',
    { status: 'rejected', error },
    /^reason: expected a word such as too_large, got nothing$/,
  ],
  [
    'a reason that is a sentence',
    { status: 'rejected', error, reason: 'too large: 5' },
    /^reason: .*got "too large: 5"$/,
  ],
  ['a reason that is empty', { status: 'rejected', error, reason: '' }, /^reason: /],
  ['rejected without error', { status: 'rejected', reason: 'x' }, /^error: /],
  ['retryable without error', { status: 'retryable' }, /^error: /],
  ['a wait before now', retryable({ afterMs: -1 }), /^afterMs: expected milliseconds, got -1$/],
  ['a wait without end', retryable({ afterMs: Infinity }), /^afterMs: /],
  ['a wait that is no number', retryable({ afterMs: '5' }), /^afterMs: /],
  ['more taken than given', retryable({ taken: 11 }), /^taken: expected 0 to 10, got 11$/],
  ['less than nothing taken', retryable({ taken: -1 }), /^taken: /],
  ['half an event taken', retryable({ taken: 0.5 }), /^taken: /],
  [
    'more unacknowledged than the rest',
    retryable({ taken: 4, unacknowledged: 7 }),
    /^unacknowledged: expected 0 to 6, got 7$/,
  ],
  [
    'acknowledged among the taken',
    retryable({ taken: 4, acknowledged: [3] }),
    /^acknowledged: expected indexes from 4 below 10, got 3$/,
  ],
  [
    'acknowledged, no indexes',
    retryable({ acknowledged: 2 }),
    /^acknowledged: expected a list of indexes, got a number$/,
  ],
  ['repaired, no promise', { status: 'hold', repaired: true, error }, /^repaired: expected a Promise, got a boolean$/],
  ['half an event unacknowledged', retryable({ unacknowledged: 0.5 }), /^unacknowledged: /],
  [
    'more refused than taken',
    retryable({ taken: 1, refusals: [refusal({ events: 2 })] }),
    /^refusals: expected at most 1 events in all, got 2$/,
  ],
  [
    'rejected after the taken events',
    retryable({ taken: 2, refusals: [refusal({ which: [2] })] }),
    /^refusals\[0\]: which: expected indexes below 2, got 2$/,
  ],
  ['partial without refusals', { status: 'partial' }, /^refusals: expected a list of at least one, got nothing$/],
  ['partial with none', partial(), /^refusals: expected a list of at least one, got an empty list$/],
  ['a refusal that is none', partial(5), /^refusals\[0\]: expected a refusal, got a number$/],
  ['a refusal of none', partial(refusal({ events: 0 })), /^refusals\[0\]: events: expected at least 1, got 0$/],
  ['a refusal without message', partial(refusal({ message: undefined })), /^refusals\[0\]: message: /],
  ['the second refusal without reason', partial(refusal(), refusal({ reason: undefined })), /^refusals\[1\]: reason: /],
  [
    'refusals of more than the batch',
    partial(refusal({ events: 6 }), refusal({ events: 5 })),
    /^refusals: expected at most 10 events in all, got 11$/,
  ],
  [
    'fewer indexes than events',
    partial(refusal({ events: 2, which: [1] })),
    /^refusals\[0\]: which: expected a list of 2 indexes, one per event, got 1$/,
  ],
  ['invalid indexes', partial(refusal({ which: 'a' })), /^refusals\[0\]: which: .*got a string$/],
  [
    'an index past the end',
    partial(refusal({ which: [10] })),
    /^refusals\[0\]: which: expected indexes below 10, got 10$/,
  ],
  [
    'indexes that fall',
    partial(refusal({ events: 2, which: [3, 2] })),
    /^refusals\[0\]: which: expected ascending indexes, got 2 after 3$/,
  ],
  ['an index twice', partial(refusal({ events: 2, which: [3, 3] })), /^refusals\[0\]: which: expected ascending/],
  [
    'an event refused twice',
    partial(refusal({ which: [3] }), refusal({ which: [3] })),
    /^refusals: expected each event once, got 3 twice$/,
  ],
]
for (const [name, outcome, want] of bad) {
  test(`outcome: ${name} breaks the contract, and the message shows how`, () =>
    assert.match(checkOutcome({ count: 10 }, outcome) ?? '', want))
}
