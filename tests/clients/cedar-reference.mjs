// The reference engine: worlds of policies and requests come as lines of JSON, its answers go back as lines of JSON.
// Each request is evaluated against all policies of its world, with all entities and the whole context.
import { createInterface } from 'node:readline';
import { createRequire } from 'node:module';

const cedar = createRequire(import.meta.url)('@cedar-policy/cedar-wasm/nodejs');

for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
  const { policies, requests } = JSON.parse(line);
  const parsed = cedar.preparsePolicySet('world', { staticPolicies: policies });
  if (parsed.type !== 'success') throw new Error(JSON.stringify(parsed));
  const answers = requests.map(({ principal, action, resource, context, entities }) => {
    const answer = cedar.statefulIsAuthorized({ principal, action, resource, context, entities, preparsedPolicySetId: 'world' });
    if (answer.type !== 'success') throw new Error(JSON.stringify(answer));
    const { decision, diagnostics } = answer.response;
    return { allow: decision === 'allow', reasons: diagnostics.reason, failed: diagnostics.errors.map((error) => error.policyId) };
  });
  if (!process.stdout.write(JSON.stringify(answers) + '\n')) await new Promise((done) => process.stdout.once('drain', done));
}
