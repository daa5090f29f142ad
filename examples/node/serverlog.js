'use strict';
// serverlog.js - libserverlog as a Node module: publish, query, follow, pull.
//
//     const log = new Pipeline('app.store');
//     log.publish({ source: 'shop.orders', key: 'order-17', body: 'paid' });
//     for (const record of log.query({ key: 'order-17' })) ...
//     for await (const record of log.follow({ source: 'shop.orders' })) ...
//     for await (const batch of log.consumer({ name: 'billing' })) { ...; batch.ack(); }
//     await log.close();
//
// Options, conditions and records have the names of the C structs' members; text and bytes stand for a slice, ids and
// times are BigInts. The library never calls into Node, and nothing here waits on Node's thread: a consumer has its
// descriptor in the event loop, a cursor that follows is asked again and again, flush() and close() wait on another.
const { promisify } = require('util');
const { setTimeout: sleep } = require('timers/promises');
const koffi = require('koffi');
const svl = require('./declarations');

const ROWS = 1000; // at most, of a step of a cursor
const STOP_TIMEOUT_MS = 10000;
const FOLLOW_INTERVAL_MS = 20; // as the library's sync_interval_ms: what is durable is seen soon after
const CODES = new Map(Object.keys(svl).filter((name) => name.startsWith('SVL_E_')).map((name) => [svl[name], name]));

/** `code` is the result's name, such as 'SVL_E_FULL'. */
class ServerlogError extends Error {
    constructor(rc, words = '') {
        const short = svl.svl_strerror(rc);
        // Words that begin otherwise are of an earlier failure: outcomes, such as SVL_E_TIMEOUT, have none.
        super(words.startsWith(short) ? words : short);
        this.code = CODES.get(rc);
    }
}

function check(rc) {
    if (rc !== svl.SVL_OK)
        throw new ServerlogError(rc, svl.svl_last_error());
}

/** The result of a call that may take its time, made on a thread of Node's pool; svl_last_error() stays there. */
function elsewhere(call, ...values) {
    return promisify(call.async)(...values);
}

function toSlice(value) {
    const data = typeof value === 'string' ? Buffer.from(value) : value;
    if (!(data instanceof Uint8Array))
        throw new TypeError(`neither text nor bytes: ${value}`);
    return { data, len: data.length };
}

function toAttribute(name, value) {
    const attribute = { name: toSlice(name) };
    if (typeof value === 'string')
        return { ...attribute, kind: svl.SVL_ATTRIBUTE_TEXT, bytes: toSlice(value) };
    if (typeof value === 'boolean')
        return { ...attribute, kind: svl.SVL_ATTRIBUTE_BOOL, i64: Number(value) };
    if (typeof value === 'bigint' || Number.isSafeInteger(value))
        return { ...attribute, kind: svl.SVL_ATTRIBUTE_I64, i64: value };
    if (typeof value === 'number')
        return { ...attribute, kind: svl.SVL_ATTRIBUTE_F64, f64: value };
    return { ...attribute, kind: svl.SVL_ATTRIBUTE_BYTES, bytes: toSlice(value) };
}

/** What koffi takes for a struct: what is not given is zero, the default. */
function toStruct(type, values) {
    const struct = {};
    if (type.members.struct_size)
        struct.struct_size = type.size;
    for (const [name, value] of Object.entries(values)) {
        const member = type.members[name] && type.members[name].type;
        const inner = member && (member.members ? member : member.ref);
        if (!member)
            throw new TypeError(`${type.name} has no member ${name}`);
        if (value === undefined)
            continue;
        if (name === 'attributes') {
            struct.attributes = Object.entries(value).map(([key, given]) => toAttribute(key, given));
            struct.attribute_count = struct.attributes.length;
        } else if (member.name === 'svl_slice')
            struct[name] = toSlice(value);
        else
            struct[name] = inner && inner.members ? toStruct(inner, value) : value;
    }
    return struct;
}

function structMaker(name) {
    const type = koffi.type(name);
    return (values) => toStruct(type, values);
}

const toOptions = structMaker('svl_options');
const toStoredOptions = structMaker('svl_stored_options');
const toQuery = structMaker('svl_query');
const toRecord = structMaker('svl_record');

const toText = (slice) => (slice.len ? koffi.decode.string(slice.data, slice.len) : '');
const toBytes = (slice) => (slice.len ? koffi.decode(slice.data, 'uint8_t', slice.len) : new Uint8Array());

function fromAttribute(row) {
    switch (row.kind) {
    case svl.SVL_ATTRIBUTE_TEXT: return toText(row.bytes);
    case svl.SVL_ATTRIBUTE_BYTES: return toBytes(row.bytes);
    case svl.SVL_ATTRIBUTE_F64: return row.f64;
    case svl.SVL_ATTRIBUTE_BOOL: return Boolean(row.i64);
    default: return BigInt(row.i64);
    }
}

/** A record of Node's own, from one that the library lends. */
function fromRecord(row) {
    const attributes = {};
    if (row.attribute_count)
        for (const attribute of koffi.decode(row.attributes, 'svl_attribute', row.attribute_count))
            attributes[toText(attribute.name)] = fromAttribute(attribute);
    return {
        id: BigInt(row.id),
        time_ns: BigInt(row.time_ns),
        ingest_ns: BigInt(row.ingest_ns),
        severity: row.severity,
        body_kind: row.body_kind,
        source: toText(row.source),
        type: toText(row.type),
        key: toText(row.key),
        body: row.body_kind === svl.SVL_BODY_BINARY ? toBytes(row.body) : toText(row.body),
        attributes,
    };
}

/** What a query finds: `for ... of` one that ends, `for await ... of` one that follows. Close it, or go to its end. */
class Cursor {
    #cursor;

    constructor(store, query) {
        const out = [null];
        check(svl.svl_store_query(store, query, out));
        this.#cursor = out[0];
    }

    /** [rc, the next records]. */
    #step() {
        if (this.#cursor === null)
            return [svl.SVL_E_END, []];
        const rows = [null];
        const n = [0];
        const rc = svl.svl_cursor_next_many(this.#cursor, 0, ROWS, rows, n);
        return [rc, rc === svl.SVL_OK ? koffi.decode(rows[0], 'svl_record', n[0]).map(fromRecord) : []];
    }

    *[Symbol.iterator]() {
        try {
            for (;;) {
                const [rc, records] = this.#step();
                if (rc === svl.SVL_E_END)
                    return;
                check(rc);
                yield* records;
            }
        } finally {
            this.close();
        }
    }

    /** Ends when the pipeline is closed and everything was seen, or with the query's limit. */
    async *[Symbol.asyncIterator]() {
        try {
            for (;;) {
                const [rc, records] = this.#step();
                if (rc === svl.SVL_E_END || rc === svl.SVL_E_CLOSED)
                    return;
                if (rc === svl.SVL_E_TIMEOUT || rc === svl.SVL_E_AGAIN) {
                    await sleep(FOLLOW_INTERVAL_MS);
                } else {
                    check(rc);
                    yield* records;
                }
            }
        } finally {
            this.close();
        }
    }

    close() {
        svl.svl_cursor_close(this.#cursor);
        this.#cursor = null;
    }
}

/** Records to work on, as a consumer was given them: ack() or nack() it, in time. */
class Batch {
    #batch;

    constructor(batch) {
        const rows = [null];
        const n = [0];
        this.#batch = batch;
        check(svl.svl_batch_records(batch, rows, n));
        this.records = koffi.decode(rows[0], 'svl_record', n[0]).map(fromRecord);
        this.attempt = svl.svl_batch_attempt(batch);
    }

    /** records[i] and what is behind it come again; what is before it is done with ack(). */
    fail(i, reason) {
        check(svl.svl_batch_fail(this.#batch, i, reason));
    }

    /** records[i] can never be done: a dead letter. */
    reject(i, reason) {
        check(svl.svl_batch_reject(this.#batch, i, reason));
    }

    ack() {
        this.#settle((batch) => svl.svl_batch_ack(batch));
    }

    /** All of it comes again. */
    nack(reason, code = svl.SVL_FAIL) {
        this.#settle((batch) => svl.svl_batch_nack(batch, code, reason));
    }

    #settle(call) {
        const batch = this.#batch;
        this.#batch = null;
        check(call(batch));
    }
}

/** `for await ... of` its batches. It ends when the pipeline is closed; close it when you leave it before. */
class Consumer {
    #consumer;
    #fd;
    #endWait = null;

    constructor(pipeline, options) {
        const out = [null];
        const fd = [0];
        check(svl.svl_consumer_open(pipeline, toStoredOptions(options), out));
        this.#consumer = out[0];
        try {
            check(svl.svl_consumer_fd(this.#consumer, fd));
        } catch (error) {
            this.close();
            throw error;
        }
        this.#fd = fd[0];
    }

    /** The next batch; null: the pipeline or the consumer was closed. */
    async poll() {
        const out = [null];
        while (this.#consumer !== null) {
            const rc = svl.svl_consumer_poll(this.#consumer, 0, out);
            if (rc === svl.SVL_OK)
                return new Batch(out[0]);
            if (rc === svl.SVL_E_CLOSED)
                break;
            if (rc !== svl.SVL_E_AGAIN)
                check(rc);
            await this.#readable();
        }
        return null;
    }

    #readable() {
        return new Promise((resolve) => {
            const handle = koffi.node.poll(this.#fd, { readable: true }, () => this.#endWait());
            this.#endWait = () => {
                this.#endWait = null;
                handle.close();
                resolve();
            };
        });
    }

    async *[Symbol.asyncIterator]() {
        for (let batch = await this.poll(); batch !== null; batch = await this.poll())
            yield batch;
    }

    close() {
        const consumer = this.#consumer;
        this.#consumer = null;
        if (this.#endWait)
            this.#endWait();
        check(svl.svl_consumer_close(consumer));
    }
}

/** A pipeline on the store in directory `path`, which is this process's alone. */
class Pipeline {
    #pipeline;
    #flushes = new Set();

    constructor(path, options = {}) {
        const out = [null];
        check(svl.svl_open(path, toOptions({ full_policy: svl.SVL_FULL_FAIL, ...options }), out));
        try {
            check(svl.svl_start(out[0]));
        } catch (error) {
            svl.svl_close(out[0]);
            throw error;
        }
        this.#pipeline = out[0];
    }

    #open() {
        if (this.#pipeline === null)
            throw new ServerlogError(svl.SVL_E_CLOSED);
        return this.#pipeline;
    }

    /** True: it outlives the process from now on. False: the ring is full, come back later. */
    publish(record) {
        const body_kind = record.body instanceof Uint8Array ? svl.SVL_BODY_BINARY : svl.SVL_BODY_TEXT;
        const rc = svl.svl_publish(this.#open(), toRecord({ body_kind, ...record }));
        if (rc === svl.SVL_E_FULL)
            return false;
        check(rc);
        return true;
    }

    /** All that was published before is safe against power loss. */
    async flush(timeoutMs = 10000) {
        const flush = elsewhere(svl.svl_flush, this.#open(), timeoutMs);
        this.#flushes.add(flush);
        const rc = await flush;
        this.#flushes.delete(flush);
        if (rc !== svl.SVL_OK)
            throw new ServerlogError(rc);
    }

    /** `key` and `keyPrefix` are short for conditions on the key. */
    query({ key, keyPrefix, ...conditions } = {}) {
        if (key !== undefined)
            Object.assign(conditions, { key_kind: svl.SVL_KEY_EXACT, key_low: key });
        else if (keyPrefix !== undefined)
            Object.assign(conditions, { key_kind: svl.SVL_KEY_PREFIX, key_low: keyPrefix });
        return new Cursor(svl.svl_pipeline_store(this.#open()), toQuery(conditions));
    }

    /** What becomes durable from now on, behind the last `tail` records. */
    follow({ tail = 0, ...conditions } = {}) {
        return this.query({ ...conditions, tail, flags: svl.SVL_QUERY_FOLLOW | svl.SVL_QUERY_TAIL });
    }

    consumer(options) {
        return new Consumer(this.#open(), options);
    }

    /** Stores what was published; then cursors that follow end, and consumers. Closed twice is closed. */
    async close() {
        const pipeline = this.#pipeline;
        this.#pipeline = null;
        if (pipeline === null)
            return;
        await elsewhere(svl.svl_stop, pipeline, STOP_TIMEOUT_MS);
        await Promise.allSettled(this.#flushes); // no other call may be in progress
        check(svl.svl_close(pipeline));
    }
}

module.exports = { Pipeline, Consumer, Batch, Cursor, ServerlogError, svl };
