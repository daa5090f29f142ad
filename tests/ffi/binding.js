'use strict';
// What the module of examples/node promises beyond what its program shows.
//
//     node binding.js DIRECTORY_OF_THE_EXAMPLE
const assert = require('assert');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { setTimeout: sleep } = require('timers/promises');
const { Pipeline, svl } = require(path.resolve(process.argv[2], 'serverlog.js'));

const tests = {
    async 'a record comes back as it was given'(log) {
        const bytes = Uint8Array.of(0, 255);
        const attributes = { text: 'caf\u00e9', bytes, whole: -(2n ** 62n), part: 0.5, yes: true };
        log.publish({
            source: 'a', type: 'b', key: 'c\u00e9', body: 'd\0e', time_ns: 1732412345123456789n,
            severity: svl.SVL_SEVERITY_WARN, attributes,
        });
        log.publish({ source: 'a', body: Uint8Array.of(0, 1, 255), key: undefined });
        await log.flush();
        const [first, second] = [...log.query()];
        assert.strictEqual(first.id, 1n);
        assert.strictEqual(first.time_ns, 1732412345123456789n);
        assert.deepStrictEqual([first.source, first.type, first.key, first.body], ['a', 'b', 'c\u00e9', 'd\0e']);
        assert.deepStrictEqual(first.attributes, attributes);
        assert.deepStrictEqual(second.body, Uint8Array.of(0, 1, 255));
        assert.deepStrictEqual([second.key, second.attributes], ['', {}]);
    },

    async 'an error has a code and words, an outcome only its own'(log) {
        const tooLong = { code: 'SVL_E_KEY_TOO_LONG', message: /^key too long: / };
        assert.throws(() => log.publish({ key: 'k'.repeat(481) }), tooLong);
        for (const wrong of [{ colour: 'red' }, { key: 17 }, { body: new Float64Array(2) }, { filter: {} }])
            assert.throws(() => log.publish(wrong), TypeError);
        await assert.rejects(log.flush(-1).then(() => log.close()).then(() => log.flush()), { code: 'SVL_E_CLOSED' });
        assert.throws(() => log.publish({ body: 'late' }), { code: 'SVL_E_CLOSED', message: 'stopped or closed' });
        await log.close();
    },

    async 'what waits ends when the pipeline is closed'(log) {
        const consumer = log.consumer({ name: 'waits' });
        const polled = consumer.poll();
        const followed = (async () => {
            const bodies = [];
            for await (const record of log.follow())
                bodies.push(record.body);
            return bodies;
        })();
        await sleep(50);
        const flushed = log.flush();
        log.publish({ source: 'serverless', body: 'last' });
        await log.close();
        await flushed;
        const batch = await polled;
        if (batch) // it came before the end
            assert.throws(() => batch.ack(), { code: 'SVL_E_CLOSED' });
        assert.deepStrictEqual(await followed, ['last']);
        assert.strictEqual(await consumer.poll(), null);
        consumer.close();
    },

    async 'a consumer that is closed ends its poll, others go on'(log) {
        const [one, two] = [log.consumer({ name: 'shared' }), log.consumer({ name: 'shared' })];
        const polled = one.poll();
        await sleep(20);
        one.close();
        assert.strictEqual(await polled, null);
        log.publish({ source: 'a', body: 'to the other' });
        const batch = await two.poll();
        assert.deepStrictEqual(batch.records.map((record) => record.body), ['to the other']);
        batch.ack();
        assert.throws(() => batch.ack(), { code: 'SVL_E_INVALID' });
        two.close();
    },

    async 'a rejected record is a dead letter, and is not waited for'(log) {
        const consumer = log.consumer({ name: 'rejects', filter: { source: 'a' }, start_at: svl.SVL_START_EARLIEST });
        for (const body of ['good', 'bad', 'good'])
            log.publish({ source: 'a', body });
        let done = 0;
        for await (const batch of consumer) {
            batch.records.forEach((record, i) => record.body === 'bad' && batch.reject(i, 'is bad'));
            done += batch.records.length;
            batch.ack();
            if (done === 3)
                break;
        }
        consumer.close();
        await log.flush();
        const [letter] = [...log.query({ source: 'serverlog.deadletter' })];
        assert.strictEqual(letter.attributes['deadletter.error'], 'is bad');
    },

    async 'the last records come before what follows, and options reach the store'(log, folder) {
        const elsewhere = path.join(folder, 'other');
        const other = new Pipeline(elsewhere, { store: { sync_interval_ms: 1 }, ring_bytes: 2n ** 24n });
        for (const body of ['1', '2', '3'])
            other.publish({ body });
        await other.flush();
        const bodies = [];
        for await (const record of other.follow({ tail: 2 })) {
            bodies.push(record.body);
            if (record.body === '3')
                other.publish({ body: '4' });
            if (record.body === '4')
                break;
        }
        assert.deepStrictEqual(bodies, ['2', '3', '4']);
        await other.close();
        assert.throws(() => new Pipeline(elsewhere, { store: { file_mode: 0o777 } }), { code: 'SVL_E_OPTION' });
    },
};

async function main() {
    for (const [name, test] of Object.entries(tests)) {
        const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'svl-node-'));
        const log = new Pipeline(path.join(folder, 'store'));
        try {
            await test(log, folder);
            await log.close();
        } catch (error) {
            console.error(`failed: ${name}`);
            throw error;
        } finally {
            fs.rmSync(folder, { recursive: true });
        }
        console.log(`passed: ${name}`);
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
