/**
 * Keeps what V8 and the type stripper make of the sources, for the test files that run.sh starts (`node --import`): hundreds of processes load the same
 * modules. Not by NODE_COMPILE_CACHE, which the agents that tests start would inherit: ./ktrail chooses a folder of its own.
 */
import { enableCompileCache } from 'node:module'
import { fileURLToPath } from 'node:url'

enableCompileCache(fileURLToPath(new URL('../../build/test-cache', import.meta.url)))
