// Tests of names and tokens, in good and in spoilt stores.
//
// In → Out: stores and answers → identities.
// Spec: docs/ix.md, "The way up".

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { friendlyName, Me, type Store, tidyName } from '../src/identity.ts';
import { hex } from './lines_of.ts';

function store(values: Record<string, string> = {}): Store & { values: Record<string, string> } {
  return { values, getItem: (key) => values[key] ?? null, setItem: (key, value) => void (values[key] = value) };
}

function server(): { fetch: (url: string, init: RequestInit) => Promise<Response>; names: string[] } {
  const names: string[] = [];
  return {
    names,
    fetch: async (_url, init) => {
      const { name } = JSON.parse(String(init.body)) as { name: string };
      names.push(name);
      if (name === 'rude') return Response.json({ error: { code: 'words', message: 'no' } }, { status: 403 });
      return Response.json({ viewer: hex(names.length), name, token: `v1.${names.length}` });
    },
  };
}

test('a name is one line of at most twenty-four characters as people count them', () => {
  assert.equal(tidyName('  Zoë \n van  Dam '), 'Zoë van Dam');
  assert.equal(tidyName(' \t\n '), null);
  assert.equal(tidyName('👩‍👩‍👧‍👦'.repeat(30)), '👩‍👩‍👧‍👦'.repeat(24));
  for (let i = 0; i < 50; i += 1) assert.match(friendlyName(Math.random), /^[A-Z][a-z]+ [A-Z][a-z]+$/);
});

test('one token is asked for, however many want it, and the browser keeps it for the next visit', async () => {
  const [kept, { fetch, names }] = [store(), server()];
  const me = new Me('x', kept, fetch, () => 0);
  await Promise.all([me.ensure(), me.ensure(), me.ensure()]);
  assert.equal(names.length, 1);
  const again = new Me('x', kept, fetch, () => 0.9);
  assert.deepEqual(await again.ensure(), me.known);
  assert.equal(names.length, 1);
  const elsewhere = new Me('y', kept, fetch, () => 0.9);
  await elsewhere.ensure();
  assert.equal(names[1], names[0], 'the same person has the same name in the next room');
});

test('another name is another token, and a refused one changes nothing', async () => {
  const { fetch } = server();
  const me = new Me('x', store(), fetch, () => 0);
  await me.ensure();
  const before = me.known;
  const refused = await me.rename('rude');
  assert.ok('code' in refused && refused.code === 'words');
  assert.equal(me.known, before);
  await me.rename(' Bea ');
  assert.equal(me.name, 'Bea');
});

test('a store that was spoilt, is full or missing costs the name, not the page', async () => {
  const { fetch } = server();
  for (const spoilt of ['', '{', '[]', 'null', '{"x":{"viewer":"1","name":"a","token":"b"}}', '{"x":{"viewer":"00000000000000aa","name":"a","token":"a\\nb"}}']) {
    assert.equal(new Me('x', store({ 'nearcast.viewers': spoilt }), fetch, () => 0).known, null, spoilt);
  }
  const full: Store = { getItem: () => null, setItem: () => { throw new Error('full'); } };
  assert.ok('token' in (await new Me('x', full, fetch, () => 0).ensure()));
  assert.ok('token' in (await new Me('x', null, fetch, () => 0).ensure()));
});
