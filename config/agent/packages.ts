/** Finds the packages that a config names, without running their code. */
import { findPackageJSON } from 'node:module'
import { dirname, resolve } from 'node:path'
import { isPackageType, packageOf } from './exporters/npm.ts'
import { problemAt } from './load.ts'
import type { LoadedConfig } from './load.ts'
import { ownFile } from '../base/own.ts'
import type { Problem } from '../yaml/problems.ts'
import { show } from '../yaml/problems.ts'

/** From this file, packages installed next to ktrail are found. */
const OURS = ownFile('package.json')

/** Files from which packages are resolved, in this order. */
function paths(configFile: string | undefined): string[] {
  return configFile === undefined ? [OURS] : [resolve(configFile), OURS]
}

/**
 * The file from which to import `name`; undefined if the package is not found. It is the config file if its folder or a parent has the
 * package in node_modules, else one of ktrail's own.
 */
export function findPackage(name: string, configFile?: string): string | undefined {
  return paths(configFile).find((place) => sees(place, name))
}

function sees(place: string, name: string): boolean {
  try {
    return findPackageJSON(name, place) !== undefined
  } catch {
    return false
  }
}

/** The message for a missing package: the searched folders, and the next step. */
export function missingPackage(name: string, configFile?: string): string {
  const folders = [...new Set(paths(configFile).map((place) => dirname(place)))]
  const where = `expected it in node_modules of ${folders.map(show).join(' or ')}, or of a folder above`
  return `cannot find the package ${show(name)}: ${where}; install it: npm install --prefix ${folders[0]} ${name}`
}

export function packageProblems(loaded: LoadedConfig, file: string): Problem[] {
  return Object.entries(loaded.config.exporters).flatMap(([exporter, options]) => {
    const key = options.type === 'kafka' ? 'codec' : 'type'
    const named = options.type === 'kafka' ? options.codec : options.type
    if (named === undefined || !isPackageType(named) || findPackage(packageOf(named), file) !== undefined) return []
    return [problemAt(loaded, file, ['exporters', exporter, key], missingPackage(packageOf(named), file))]
  })
}
