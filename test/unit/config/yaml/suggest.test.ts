import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { didYouMean, listHint, suggest } from '../../../../config/yaml/suggest.ts'
import { cpuMs } from '../../../support/measure/cpu.ts'

const SYMBOLS = ['fd_install', 'security_file_permission', 'security_file_open', 'vfs_read', 'do_sys_open']

describe('suggest', () => {
  for (const { name, word, want } of [
    { name: 'a missing letter', word: 'fd_instal', want: 'fd_install' },
    { name: 'an extra letter', word: 'fd_installl', want: 'fd_install' },
    { name: 'a changed letter', word: 'fd_imstall', want: 'fd_install' },
    { name: 'two swapped letters', word: 'vsf_read', want: 'vfs_read' },
    { name: 'another case', word: 'VFS_Read', want: 'vfs_read' },
    { name: 'a plural', word: 'security_file_permissions', want: 'security_file_permission' },
    { name: 'three slips in a long word', word: 'securty_file_permision_x', want: undefined },
    { name: 'a word that is something else', word: 'tcp_connect', want: undefined },
    { name: 'two slips in a short word', word: 'vfs', want: undefined },
    { name: 'nothing', word: '', want: undefined },
    { name: 'a word of a megabyte', word: 'a'.repeat(1_000_000), want: undefined },
  ]) {
    it(`finds ${want ?? 'nothing'} for ${name}`, () => assert.equal(suggest(word, SYMBOLS), want))
  }

  it('prefers the candidate with fewer typos to an earlier one', () => {
    assert.equal(suggest('matchArg', ['matchArk_', 'matchArgs']), 'matchArgs')
    assert.equal(suggest('abcdef', ['abcxyf', 'abcdeg']), 'abcdeg')
  })

  it('writes a hint, or nothing', () => {
    assert.equal(didYouMean('cal', ['call']), ' (did you mean "call"?)')
    assert.equal(didYouMean('zzz', ['call']), '')
    assert.equal(listHint('a,b'), '; write it as a list: [a, b]')
    assert.equal(listHint('a,\rb,c\rd'), '; write it as a list in brackets')
    assert.equal(didYouMean('a\rcal', ['a\rcall']), ' (did you mean "a\\rcall"?)')
  })

  it('agrees with the plain distance table', () => {
    const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 12 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        const limit = Math.min(3, Math.max(1, Math.floor(a.length / 3)))
        assert.equal(suggest(a, [b]), plainDistance(a, b) <= limit ? b : undefined)
      }),
      { numRuns: 2000 },
    )
  })

  it('searches 60,000 kernel functions in a fraction of a second of processor time', () => {
    const parts = ['security', 'file', 'inode', 'sock', 'tcp', 'vfs', 'read', 'write', 'alloc', 'free', 'perm', 'open']
    const names = Array.from({ length: 60_000 }, (_, i) => {
      const [a, b, c] = [i % 12, Math.floor(i / 12) % 12, Math.floor(i / 144) % 12].map((at) => parts[at])
      return `${a}_${b}_${c}_${i}`
    })
    names.push('security_file_permission')
    // The best of several runs counts, because the first ones are compiled meanwhile.
    let best = Infinity
    for (let run = 0; run < 5; run++) {
      const fromMs = cpuMs()
      assert.equal(suggest('security_file_premision', names), 'security_file_permission')
      best = Math.min(best, cpuMs() - fromMs)
    }
    // 15 ms on an idle machine; with the whole table it would be many seconds.
    assert.ok(best < 300, `${best} ms`)
  })
})

/** Optimal string alignment with the whole table. */
function plainDistance(a: string, b: string): number {
  const rows: number[][] = []
  const at = (i: number, j: number): number => rows[i]?.[j] ?? Infinity
  for (let i = 0; i <= a.length; i++) {
    rows.push([])
    for (let j = 0; j <= b.length; j++) {
      let least = i === 0 && j === 0 ? 0 : Infinity
      least = Math.min(least, at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, at(i - 2, j - 2) + 1)
      rows[i]?.push(least)
    }
  }
  return at(a.length, b.length)
}
