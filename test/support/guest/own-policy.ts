/** The first change of an administrator to an installed agent. */
import assert from 'node:assert/strict'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LONG } from '../long.ts'

/**
 * Adds a policy that reports the accesses of the tests to `policies`, from the shipped ones in `shipped`. It replaces the bundle of the `config`, whose
 * policies load for a minute in a guest; KTRAIL_LONG=1 keeps them.
 */
export function choosePolicy(config: string, shipped: string, policies: string): void {
  copyFileSync(join(shipped, 'optional/file-monitoring.yaml'), join(policies, 'file-monitoring.yaml'))
  const text = readFileSync(config, 'utf8')
  assert.match(text, /^policies: \[library:default, /m)
  if (!LONG) writeFileSync(config, text.replace('library:default, ', ''))
}

/** In the root of an installed Debian package. */
export const choosePolicyIn = (root: string): void =>
  choosePolicy(
    join(root, 'etc/ktrail/ktrail.yaml'),
    join(root, 'usr/lib/ktrail/dist/config/policies'),
    join(root, 'etc/ktrail/policies'),
  )
