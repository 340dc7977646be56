// @generated automatically by Diesel CLI.

diesel::table! {
    ad_daily_stats (day, ad_id) {
        day -> Date,
        ad_id -> Int8,
        impressions -> Int8,
        clicks -> Int8,
        computed_at -> Timestamptz,
    }
}

diesel::table! {
    ad_hourly_stats (hour, ad_id) {
        hour -> Timestamptz,
        ad_id -> Int8,
        impressions -> Int8,
        clicks -> Int8,
        computed_at -> Timestamptz,
    }
}

diesel::table! {
    ads (id) {
        id -> Int8,
        advertiser_id -> Int8,
        title -> Text,
        image_url -> Nullable<Text>,
        target_url -> Nullable<Text>,
        approved -> Bool,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        changed_in -> Int8,
    }
}

diesel::table! {
    advertisers (id) {
        id -> Int8,
        name -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    closed_hours (hour) {
        hour -> Timestamptz,
        reason -> Text,
        closed_at -> Timestamptz,
    }
}

diesel::table! {
    dead_letters (id) {
        id -> Uuid,
        source -> Text,
        reason -> Text,
        detail -> Text,
        body -> Bytea,
        headers -> Jsonb,
        event_id -> Nullable<Uuid>,
        ad_id -> Nullable<Int8>,
        occurred_at -> Nullable<Timestamptz>,
        first_seen -> Timestamptz,
        requeued_at -> Nullable<Timestamptz>,
        state -> Text,
    }
}

diesel::table! {
    dirty_days (id) {
        id -> Int8,
        day -> Date,
        marked_at -> Timestamptz,
    }
}

diesel::table! {
    dirty_hours (id) {
        id -> Int8,
        hour -> Timestamptz,
        added -> Nullable<Bytea>,
        marked_at -> Timestamptz,
    }
}

diesel::table! {
    events (event_id) {
        event_id -> Uuid,
        ad_id -> Int8,
        kind -> Int2,
        verdict -> Int2,
        rule_version -> Int4,
        received_at -> Timestamptz,
        impression_id -> Nullable<Uuid>,
        ip -> Nullable<Inet>,
        visitor_id -> Nullable<Text>,
        user_agent -> Nullable<Text>,
        referer -> Nullable<Text>,
        placement -> Nullable<Text>,
        source -> Nullable<Text>,
    }
}

diesel::table! {
    restatements (id) {
        id -> Int8,
        granularity -> Text,
        bucket_start -> Timestamptz,
        ad_id -> Int8,
        old_impressions -> Int8,
        new_impressions -> Int8,
        old_clicks -> Int8,
        new_clicks -> Int8,
        at -> Timestamptz,
    }
}

diesel::table! {
    roll_ups (granularity, bucket_start) {
        granularity -> Text,
        bucket_start -> Timestamptz,
        rolled_up_at -> Timestamptz,
    }
}

diesel::table! {
    schedule_runs (entry, slot) {
        entry -> Text,
        slot -> Timestamptz,
        task_id -> Uuid,
        inserted_at -> Timestamptz,
        enqueued_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    settings (key) {
        key -> Text,
        value -> Text,
    }
}

diesel::table! {
    task_runs (task_id) {
        task_id -> Uuid,
        name -> Text,
        arguments -> Jsonb,
        state -> Text,
        attempts -> Int4,
        first_started_at -> Timestamptz,
        started_at -> Timestamptz,
        finished_at -> Nullable<Timestamptz>,
        worker -> Text,
        error -> Nullable<Text>,
    }
}

diesel::joinable!(ads -> advertisers (advertiser_id));

diesel::allow_tables_to_appear_in_same_query!(
    ad_daily_stats,
    ad_hourly_stats,
    ads,
    advertisers,
    closed_hours,
    dead_letters,
    dirty_days,
    dirty_hours,
    events,
    restatements,
    roll_ups,
    schedule_runs,
    settings,
    task_runs,
);
