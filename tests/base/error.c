/* Results in words. */
#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "support/support.h"

static void test_every_code_when_asked_then_has_its_own_text(void **state)
{
    (void)state;
    static const int codes[] = {
        SVL_E_INVALID,       SVL_E_STRUCT_SIZE, SVL_E_OPTION,      SVL_E_KEY_TOO_LONG,
        SVL_E_NAME_TOO_LONG, SVL_E_ATTRIBUTES,  SVL_E_RECORD_SIZE, SVL_E_RESERVED,
        SVL_E_UTF8,          SVL_E_LIMIT,       SVL_E_PATTERN,     SVL_E_PATTERN_COMPLEX,
        SVL_E_JSON,          SVL_E_STATE,       SVL_E_CLOSED,      SVL_E_BUSY,
        SVL_E_DEADLOCK,      SVL_E_FORKED,      SVL_E_FAILED,      SVL_E_STALE,
        SVL_E_END,           SVL_E_TIMEOUT,     SVL_E_FULL,        SVL_E_AGAIN,
        SVL_E_DROPPED,       SVL_E_NOT_FOUND,   SVL_E_NOMEM,       SVL_E_IO,
        SVL_E_NO_SPACE,      SVL_E_ACCESS,      SVL_E_PATH,        SVL_E_FILE_SYSTEM,
        SVL_E_RESOURCE,      SVL_E_CORRUPT,     SVL_E_VERSION,     SVL_E_FOREIGN,
        SVL_E_CODEC,         SVL_E_INTERNAL,
    };
    size_t n = sizeof codes / sizeof codes[0];
    for (size_t i = 0; i < n; i++) {
        assert_string_not_equal(svl_strerror(codes[i]), "unknown result");
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(svl_strerror(codes[i]), svl_strerror(codes[j]));
    }
    assert_string_equal(svl_strerror(-77), "unknown result");
    assert_string_equal(svl_strerror(1), "unknown result");
}

static void test_failure_when_told_then_words_are_there(void **state)
{
    (void)state;
    assert_int_equal(svl__fail(SVL_E_LIMIT, "%d apples", 7), SVL_E_LIMIT);
    assert_string_equal(svl_last_error(), "limit exceeded: 7 apples");
    char small[6];
    assert_int_equal(svl_last_error_copy(small, sizeof small), 24);
    assert_string_equal(small, "limit");
    assert_int_equal(svl_last_error_copy(NULL, 0), 24);
    svl__fail(SVL_E_CORRUPT, "%s", svl_last_error());
    assert_string_equal(svl_last_error(), "damaged: limit exceeded: 7 apples");
}

static void test_errno_when_mapped_then_code_fits(void **state)
{
    (void)state;
    static const struct {
        int number, code;
    } cases[] = { { ENOSPC, SVL_E_NO_SPACE }, { EDQUOT, SVL_E_NO_SPACE }, { EROFS, SVL_E_ACCESS },
                  { EACCES, SVL_E_ACCESS },   { EMFILE, SVL_E_RESOURCE }, { ENOMEM, SVL_E_NOMEM },
                  { EIO, SVL_E_IO } };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(svl__fail_errno(cases[i].number, "x"), cases[i].code);
        assert_non_null(strstr(svl_last_error(), strerror(cases[i].number)));
    }
}

static void *other_thread(void *unused)
{
    (void)unused;
    return svl_last_error()[0] ? "not empty" : NULL;
}

static void test_words_when_on_another_thread_then_its_own(void **state)
{
    (void)state;
    svl__fail(SVL_E_LIMIT, "here");
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, &result);
    assert_null(result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_code_when_asked_then_has_its_own_text),
        cmocka_unit_test(test_failure_when_told_then_words_are_there),
        cmocka_unit_test(test_errno_when_mapped_then_code_fits),
        cmocka_unit_test(test_words_when_on_another_thread_then_its_own),
    };
    return cmocka_run_group_tests_name("base/error", tests, NULL, NULL);
}
