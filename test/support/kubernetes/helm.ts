/** helm on the chart of this checkout. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

const CHART = path.join(import.meta.dirname, '../../../deploy/helm/ktrail')

/** The chart's objects as YAML. Throws with helm's output. `folder`: of kubernetesPrograms. */
export async function helmTemplate(
  folder: string,
  args: readonly string[] = [],
  chart: string = CHART,
): Promise<string> {
  // A helm built without its release's flags takes itself for one of an old Kubernetes.
  const all = ['template', 'ktrail', chart, '--namespace', 'ktrail', '--kube-version', '1.36.0', ...args]
  return (await helm(folder, all)).stdout
}

export async function helm(folder: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const { stdout, stderr } = await promisify(execFile)(path.join(folder, 'helm'), args, { maxBuffer: 16 << 20 })
  // The chart's link to deploy/crds.
  const lines = stderr.split('\n').filter((line) => !line.includes('found symbolic link in path'))
  return { stdout, stderr: lines.join('\n') }
}
