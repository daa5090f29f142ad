#!/usr/bin/env node
'use strict';
// pipeline.js - a shop's orders: published, billed by a consumer, watched by a follower, looked up.
//
//     node pipeline.js STORE
//
// Says what it did, and ends with 1 if anything is not as it should be.
const { setImmediate: turn, setTimeout: sleep } = require('timers/promises');
const { Pipeline, svl } = require('./serverlog');

const ORDERS = 100000;
const CUSTOMERS = 100;
const WATCHED = 'customer-7';
const REFUSED = ORDERS / 2 + 7; // the bank takes this order only the third time
const MICROSECOND_NS = 1000n;

/** Order i is of microsecond i. Every now and then the event loop has its turn. */
async function publish(log, beginNs) {
    for (let i = 0; i < ORDERS; i++) {
        const order = {
            source: 'shop.orders',
            type: 'ordered',
            key: `customer-${i % CUSTOMERS}`,
            body: `order ${i}`,
            severity: svl.SVL_SEVERITY_INFO,
            time_ns: beginNs + BigInt(i) * MICROSECOND_NS,
            attributes: { number: i },
        };
        while (!log.publish(order))
            await sleep(1);
        if (i % 500 === 0)
            await turn();
    }
    await log.flush();
    console.log(`published ${ORDERS} orders`);
}

/** Bills each order once. The one that is refused is failed alone, then with its whole batch, then taken. */
async function bill(log, beginNs) {
    const consumer = log.consumer({
        name: 'billing',
        filter: { source: 'shop.orders' },
        start_at: svl.SVL_START_EARLIEST,
        batch_records_max: 1000,
        retry_base_ms: 10,
    });
    const billed = new Set();
    let batches = 0;
    let seen = 0; // of the order that is refused
    for await (const batch of consumer) {
        const orders = batch.records.filter((record) => record.time_ns >= beginNs); // not those of an earlier run
        const numbers = orders.map((record) => Number(record.attributes.number));
        const at = batch.records.length - orders.length + numbers.indexOf(REFUSED);
        const refused = numbers.includes(REFUSED) && ++seen < 3;
        batches++;
        if (refused && seen === 2) {
            batch.nack('the bank is away');
            continue;
        }
        if (refused)
            batch.fail(at, 'the bank is away');
        batch.ack();
        for (const number of refused ? numbers.slice(0, numbers.indexOf(REFUSED)) : numbers)
            billed.add(number);
        if (billed.size === ORDERS)
            break;
    }
    consumer.close();
    console.log(`billed ${billed.size} orders in ${batches} batches; order ${REFUSED} came ${seen} times`);
    return billed.size === ORDERS && seen === 3;
}

/** Until the pipeline is closed. */
async function watch(records) {
    let n = 0;
    for await (const record of records)
        n += record.key === WATCHED ? 1 : 0;
    console.log(`followed ${n} orders of ${WATCHED}`);
    return n === ORDERS / CUSTOMERS;
}

function lookUp(log, beginNs) {
    const ofKey = [...log.query({ key: WATCHED, time_min_ns: beginNs })];
    const ofTime = [...log.query({
        source: 'shop.orders',
        time_min_ns: beginNs + 1000n * MICROSECOND_NS,
        time_max_ns: beginNs + 2000n * MICROSECOND_NS,
    })];
    console.log(`found ${ofKey.length} orders of ${WATCHED}, ${ofTime.length} of the second millisecond`);
    return ofKey.length === ORDERS / CUSTOMERS && ofKey.every((record) => record.key === WATCHED) &&
        ofTime.length === 1000 && ofTime.every((record, i) => record.body === `order ${1000 + i}`);
}

async function work(log, beginNs) {
    try {
        const [isBilled] = await Promise.all([bill(log, beginNs), publish(log, beginNs)]);
        return lookUp(log, beginNs) && isBilled;
    } finally {
        await log.close();
        console.log('closed');
    }
}

async function main(path) {
    const beginNs = BigInt(Date.now()) * 1000000n;
    const log = new Pipeline(path);
    const results = await Promise.all([watch(log.follow({ key: WATCHED })), work(log, beginNs)]);
    if (!results.every(Boolean))
        throw new Error('these are not the numbers that were published');
}

if (process.argv.length !== 3) {
    console.error('usage: node pipeline.js STORE');
    process.exitCode = 2;
} else {
    main(process.argv[2]).catch((error) => {
        console.error(`pipeline.js: ${error.message}`);
        process.exitCode = 1;
    });
}
